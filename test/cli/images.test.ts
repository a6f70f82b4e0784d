/** Images at the terminal: load, list, tag, save, remove, inspect; push and pull with a registry. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BIN } from "../support/checkout.ts";
import { type Cli, startCli } from "../support/cli.ts";

let cli: Cli;
before(async () => {
  cli = await startCli();
});
after(async () => {
  assert.deepEqual(await cli.close(), [], "nothing is left behind");
});
const names = async () =>
  (await cli.berth(["images", "--format", "{{.Repository}}:{{.Tag}}"])).out
    .split("\n")
    .filter(Boolean)
    .sort();

test("tag, list, inspect, save, remove, load", async () => {
  assert.deepEqual(await names(), ["busybox:latest"]);
  assert.equal((await cli.berth(["tag", "busybox", "my/box:v1"])).code, 0);
  assert.deepEqual(await names(), ["busybox:latest", "my/box:v1"]);
  const id = (await cli.berth(["images", "-q"])).out.trim();
  assert.match(id, /^[0-9a-f]{12}$/);
  assert.equal(
    (await cli.berth(["inspect", "-f", "{{.Config.Labels.made}} {{.Os}}", "my/box:v1"])).out,
    "by test linux\n",
  );
  const archive = join(cli.folder, "out.tar");
  assert.equal((await cli.berth(["save", "-o", archive, "busybox", "my/box:v1"])).code, 0);
  const piped = spawnSync("sh", ["-c", `"$0" save my/box:v1 | tar -tf -`, join(BIN, "berth")], {
    env: { ...process.env, BERTH_ADDRESS: cli.address },
    encoding: "utf8",
  });
  assert.match(piped.stdout, /oci-layout[\s\S]*index\.json/);
  const removed = await cli.berth(["rmi", "busybox", "my/box:v1"]);
  assert.match(removed.out, /Untagged: busybox:latest\nUntagged: my\/box:v1\nDeleted: sha256:/);
  assert.deepEqual(await names(), []);
  const loaded = await cli.berth(["load", "-i", archive]);
  assert.deepEqual(loaded.out.split("\n").filter(Boolean).sort(), [
    "Loaded image: busybox:latest",
    "Loaded image: my/box:v1",
  ]);
  assert.equal((await cli.berth(["run", "--rm", "my/box:v1", "echo", "works"])).out, "works\n");
  await cli.berth(["rmi", "my/box:v1"]);
});

test("an image in use is kept, except with force", async () => {
  await cli.berth(["create", "--name", "user", "busybox"]);
  const refused = await cli.berth(["rmi", "busybox"]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /image busybox is in use by container user[\s\S]*next: /);
  await cli.berth(["rm", "user"]);
});

test("bad archives and names are refused with reasons", async () => {
  const half = join(cli.folder, "half.tar");
  writeFileSync(half, "this is no archive");
  const cases: [string[], RegExp][] = [
    [["load", "-i", half], /archive/],
    [["load", "-i", "/no/such/file"], /no such file/i],
    [["load", "-i", "/tmp"], /is a directory/],
    [["rmi", "ghost"], /no such image: ghost/],
    [["tag", "ghost", "x"], /no such image: ghost/],
    [["tag", "busybox", "Upper"], /lower case/],
    [["save", "-o", join(cli.folder, "x.tar"), "ghost"], /no such image/],
  ];
  for (const [args, message] of cases) {
    const ran = await cli.berth(args);
    assert.equal(ran.code, 1, args.join(" "));
    assert.match(ran.err, message);
  }
  assert.equal(existsSync(join(cli.folder, "x.tar")), false);
});

test("push and pull", async (t) => {
  if (spawnSync("docker-registry", ["--version"]).error) return t.skip("docker-registry is not installed");
  const port = await freePort();
  const config = join(cli.folder, "registry.yml");
  const storage = { filesystem: { rootdirectory: join(cli.folder, "registry") } };
  writeFileSync(config, JSON.stringify({ version: "0.1", storage, http: { addr: `127.0.0.1:${port}` } }));
  const registry = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  try {
    const name = `localhost:${port}/box:1`;
    for (let tries = 0; tries < 100; tries++) {
      if (
        await fetch(`http://127.0.0.1:${port}/v2/`).then(
          (r) => r.ok,
          () => false,
        )
      )
        break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await cli.berth(["tag", "busybox", name]);
    const pushed = await cli.berth(["push", name]);
    assert.equal(pushed.code, 0, pushed.err);
    await cli.berth(["rmi", name]);
    const run = await cli.berth(["run", "--rm", name, "echo", "pulled"]);
    assert.equal(run.out, "pulled\n");
    assert.match(run.err, /Unable to find image .* locally/);
    const again = await cli.berth(["pull", "-q", name]);
    assert.equal(again.out, `${name}\n`);
    const missing = await cli.berth(["pull", `localhost:${port}/ghost:1`]);
    assert.equal(missing.code, 1);
    assert.match(missing.err, /ghost|404|not found/);
  } finally {
    registry.kill();
  }
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

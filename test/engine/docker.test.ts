/** Debian's dockerd in its default configuration, with berthd in containerd's place. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { traces } from "../support/bundles.ts";
import { cannotRun, type Daemon, type Peer, run, start, startBerthd } from "../support/daemons.ts";
import { busyboxLayer } from "../support/images.ts";

const skip = cannotRun("/usr/sbin/dockerd", "/usr/bin/docker") ?? false;
const HERE = ["--network", "none"];

let baseline: string[] = [];
let folder = "";
let berthd: Daemon | undefined;
let dockerd: Peer | undefined;

const docker = (...args: string[]) => run("/usr/bin/docker", ["-H", `unix://${folder}/docker.sock`, ...args]);

async function must(...args: string[]): Promise<string> {
  const ran = await docker(...args);
  assert.equal(ran.code, 0, `docker ${args.join(" ")}: ${ran.stderr}`);
  return ran.stdout;
}

before(async () => {
  if (skip) return;
  baseline = traces();
  folder = mkdtempSync(join(tmpdir(), "berth-docker-"));
  mkdirSync(join(folder, "home"));
  berthd = await startBerthd(folder);
  const flags = {
    containerd: berthd.socket,
    "data-root": join(folder, "docker"),
    "exec-root": join(folder, "docker-run"),
    host: `unix://${folder}/docker.sock`,
    pidfile: join(folder, "docker.pid"),
    "storage-driver": "vfs",
    bridge: "none",
    iptables: "false",
    ip6tables: "false",
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  dockerd = await start(
    "/usr/sbin/dockerd",
    args,
    async () => existsSync(join(folder, "docker.sock")) && (await docker("version")).code === 0,
  );
  const layer = join(folder, "layer.tar");
  writeFileSync(layer, busyboxLayer());
  await must("import", layer, "bb");
});

after(async () => {
  if (skip) return;
  try {
    if (dockerd !== undefined) {
      const left = (await docker("ps", "-aq")).stdout.split("\n").filter(Boolean);
      if (left.length > 0) await docker("rm", "-f", ...left);
      await dockerd.stop();
    }
  } finally {
    await berthd?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  assert.deepEqual(traces(), baseline, "something was left behind");
});

test("docker run: output, exit codes, a terminal, an ordinary user", { skip }, async () => {
  assert.equal(await must("run", "--rm", ...HERE, "bb", "echo", "hi"), "hi\n");
  assert.equal((await docker("run", "--rm", ...HERE, "bb", "sh", "-c", "exit 3")).code, 3);
  assert.equal((await docker("run", "--rm", ...HERE, "bb", "nosuch")).code, 127);
  assert.equal(
    await must("run", "--rm", "-t", ...HERE, "bb", "sh", "-c", "test -t 1 && echo yes"),
    "yes\r\n",
  );
  const reopen = ["sh", "-c", "echo mine > /dev/stdout"];
  assert.equal(await must("run", "--rm", "-u", "1000", ...HERE, "bb", ...reopen), "mine\n");
});

test("docker's commands for a running container", { skip }, async () => {
  await must("run", "-d", "--name", "c1", "--memory", "64m", ...HERE, "bb", "sh", "-c", "echo up; sleep 100");
  assert.equal(await must("exec", "c1", "echo", "added"), "added\n");
  assert.match(await must("top", "c1"), /sleep 100/);
  assert.match(await must("stats", "--no-stream", "--format", "{{.MemUsage}}", "c1"), / \/ 64MiB/);
  await must("pause", "c1");
  await must("unpause", "c1");
  await must("update", "--memory", "48m", "--memory-swap", "96m", "c1");
  await must("restart", "-t", "0", "c1");
  assert.equal(await must("logs", "c1"), "up\nup\n");
  await must("kill", "-s", "KILL", "c1");
  assert.equal(await must("wait", "c1"), "137\n");
  await must("start", "c1");
  await must("stop", "-t", "0", "c1");
  await must("rm", "c1");
  assert.equal(await must("ps", "-aq"), "");
});

test("docker's restart policy", { skip }, async () => {
  await must("run", "-d", "--name", "on", "--restart", "on-failure:2", ...HERE, "bb", "sh", "-c", "exit 5");
  assert.equal(await must("wait", "on"), "5\n");
  await must("rm", "-f", "on");
});

test("docker build runs its steps in containers, and commits them", { skip }, async () => {
  const context = join(folder, "context");
  mkdirSync(context);
  writeFileSync(
    join(context, "Dockerfile"),
    'FROM bb\nRUN echo made > /made\nCOPY file /file\nCMD ["sh", "-c", "cat /made /file"]\n',
  );
  writeFileSync(join(context, "file"), "copied\n");
  const built = await run("/usr/bin/env", [
    "DOCKER_BUILDKIT=0",
    `HOME=${folder}/home`,
    "/usr/bin/docker",
    "-H",
    `unix://${folder}/docker.sock`,
    "build",
    ...HERE,
    "-t",
    "made",
    context,
  ]);
  assert.equal(built.code, 0, built.stderr);
  assert.equal(await must("run", "--rm", ...HERE, "made"), "made\ncopied\n");
});

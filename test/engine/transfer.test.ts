/** Transfers: pull, push, load and save through the daemon, against a real registry. */
import assert from "node:assert/strict";
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import { BerthClient } from "@berth/client";
import { cannotRun, Folder, startBerthd, startRegistry } from "../support/daemons.ts";
import { busyboxLayer, dockerArchive, makeImage, ociArchive, tar } from "../support/images.ts";

const skip = cannotRun("/usr/bin/docker-registry", "/usr/bin/ctr");

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}

async function join2(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

const base = busyboxLayer();
const second = tar(
  { name: "etc/", type: "5", mode: 0o755 },
  { name: "etc/.wh.group" },
  { name: "etc/hello", data: "hi\n", uid: 1000, gid: 1000, mode: 0o4711 },
  { name: "hard", type: "1", linkname: "bin/busybox" },
  { name: "implied/folder/file", data: "x" },
  { name: "var/.wh..wh..opq" },
);

test("transfers", { skip: skip ?? false }, async (t) => {
  const folder = new Folder();
  const registry = await startRegistry(folder.path);
  const daemon = await startBerthd(folder.path);
  const berth = new BerthClient({ address: daemon.socket });
  after(async () => {
    berth.close();
    await daemon.stop();
    await registry.stop();
    await folder.remove();
  });
  const upper = (n: number) => join(folder.path, "root/snapshots/overlayfs", String(n), "fs");

  await t.test("load an OCI archive, unpacked", async () => {
    const steps: string[] = [];
    const images = await berth.images.load(
      once(ociArchive(makeImage([base, second]), "docker.io/library/bb:1")),
      {
        onProgress: (step) => steps.push(step.event),
      },
    );
    assert.deepEqual(
      images.map((i) => i.name),
      ["docker.io/library/bb:1"],
    );
    assert.ok(steps.includes("saved") && steps.includes("extracting"));
    const resolved = await berth.images.resolve(images[0]!);
    const { stdout } = await daemon.ctr("snapshots", "ls");
    assert.ok(stdout.includes(resolved.chainId));
    const top = readdirSync(join(folder.path, "root/snapshots/overlayfs"))
      .map(Number)
      .find((n) => existsSync(join(upper(n), "etc/hello")))!;
    const hello = statSync(join(upper(top), "etc/hello"));
    assert.deepEqual([hello.mode & 0o7777, hello.uid, hello.size], [0o4711, 1000, 3]);
    assert.ok(lstatSync(join(upper(top), "etc/group")).isCharacterDevice());
    assert.equal(statSync(join(upper(top), "hard")).size, readFileSync("/bin/busybox").length);
    assert.equal(readFileSync(join(upper(top), "implied/folder/file"), "utf8"), "x");
  });

  await t.test("load a docker archive, zstd layers, a compressed archive", async () => {
    const docker = await berth.images.load(
      once(dockerArchive(makeImage([base, second]), [base, second], "bb:docker")),
    );
    assert.equal(docker[0]!.name, "docker.io/library/bb:docker");
    const zstd = await berth.images.load(
      once(ociArchive(makeImage([base, second], "zstd"), "docker.io/library/bb:z")),
    );
    assert.equal(zstd[0]!.name, "docker.io/library/bb:z");
    const { gzipSync } = await import("node:zlib");
    const zipped = await berth.images.load(
      once(gzipSync(ociArchive(makeImage([base]), "docker.io/library/bb:g"))),
    );
    assert.equal(zipped[0]!.name, "docker.io/library/bb:g");
  });

  await t.test("push, remove, pull again, and ctr pulls it too", async () => {
    const name = `${registry.host}/test/bb:1`;
    await berth.images.tag("docker.io/library/bb:1", name);
    await berth.images.push(name, name, { plainHttp: true });
    for (const image of await berth.images.list()) await berth.images.remove(image.name, { sync: true });
    const { stdout: empty } = await daemon.ctr("content", "ls", "-q");
    assert.equal(empty, "");
    assert.equal((await daemon.ctr("snapshots", "ls")).stdout.split("\n").length, 2);
    const events: string[] = [];
    const image = await berth.images.pull(name, { plainHttp: true, onProgress: (p) => events.push(p.event) });
    assert.equal(image.name, name);
    assert.ok(events.includes("complete") && events.includes("extracted"));
    assert.equal((await daemon.ctr("leases", "ls", "-q")).stdout, "");
    const pulled = await daemon.ctr("images", "pull", "--plain-http", name);
    assert.equal(pulled.code, 0, pulled.stderr);
    // Concurrent pulls share their downloads.
    await berth.images.remove(name, { sync: true });
    await Promise.all([1, 2, 3].map(() => berth.images.pull(name, { plainHttp: true })));
  });

  await t.test("save and load again", async () => {
    const name = `${registry.host}/test/bb:1`;
    const archive = await join2(berth.images.save([name]));
    await berth.images.remove(name, { sync: true });
    const [loaded] = await berth.images.load(once(archive));
    assert.equal(loaded!.name, name);
    writeFileSync(join(folder.path, "saved.tar"), archive);
    const imported = await daemon.ctr("-n", "other", "images", "import", join(folder.path, "saved.tar"));
    assert.equal(imported.code, 0, imported.stderr);
  });

  await t.test("invalid input is reported and leaves nothing behind", async () => {
    for (const image of await berth.images.list()) await berth.images.remove(image.name, { sync: true });
    const load = (bytes: Buffer) => berth.images.load(once(bytes));
    const evil = (file: Parameters<typeof tar>[0]) =>
      ociArchive(makeImage([tar(file)]), "docker.io/library/evil:1");
    await assert.rejects(load(evil({ name: "../../outside", data: "x" })), /points outside of the layer/);
    await assert.rejects(
      load(evil({ name: "link", type: "1", linkname: "../../../etc/passwd" })),
      /points outside of the layer/,
    );
    await assert.rejects(load(Buffer.from("no archive at all ".repeat(100))), /not a valid tar archive/);
    await assert.rejects(load(tar({ name: "x", data: "y" })), /neither index.json nor manifest.json/);
    const damaged = ociArchive(makeImage([base]), "docker.io/library/evil:2");
    damaged[damaged.length - 4096] = damaged[damaged.length - 4096]! ^ 0xff;
    await assert.rejects(load(damaged), /unexpected commit digest|not valid gzip|checksum/);
    await assert.rejects(
      berth.images.pull(`${registry.host}/test/none:1`, { plainHttp: true }),
      /answered 404/,
    );
    await assert.rejects(
      berth.images.pull("127.0.0.1:1/test/none:1", { plainHttp: true }),
      /cannot reach registry 127.0.0.1:1/,
    );
    await assert.rejects(berth.images.pull("UPPER", {}), /repository names are lower case/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal((await daemon.ctr("content", "ls", "-q")).stdout, "");
    assert.equal((await daemon.ctr("content", "active")).stdout.trim().split("\n").length, 1);
    assert.equal((await daemon.ctr("snapshots", "ls")).stdout.split("\n").length, 2);
  });

  await t.test("symbolic links in a layer do not escape from it", async () => {
    const layer = tar(
      { name: "out", type: "2", linkname: "/etc" },
      { name: "out/berth-escaped", data: "x" },
      { name: "up", type: "2", linkname: "../../../../../../../../tmp" },
      { name: "up/berth-escaped", data: "x" },
    );
    await berth.images.load(once(ociArchive(makeImage([layer]), "docker.io/library/links:1")));
    assert.ok(!existsSync("/etc/berth-escaped"));
    assert.ok(!existsSync("/tmp/berth-escaped"));
  });
});

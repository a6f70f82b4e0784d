/** One suite for every snapshotter: berth's own, and another program's (a second berthd) behind a proxy. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { type BerthClient, connect, type SnapshotMount, Snapshots } from "@berth/client";
import { linux } from "@berth/sys";
import { cannotRun, type Daemon, Folder, startBerthd } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive } from "../support/images.ts";

const skip = cannotRun("/bin/busybox");

const sh = (script: string, cwd: string) =>
  execFileSync("/bin/sh", ["-ec", script], { cwd, encoding: "utf8" }).trim();

/** Runs a script in a mounted snapshot. */
async function inside(folder: string, [mount]: SnapshotMount[], script: string): Promise<string> {
  const { type, source, options } = mount!;
  const at = join(folder, "mounted");
  mkdirSync(at, { recursive: true });
  const rest = options.filter((option) => !["ro", "rw", "rbind"].includes(option));
  const how = type === "bind" ? ["--bind"] : ["-t", type];
  const data = [...(options.includes("ro") ? ["ro"] : []), ...rest].join(",");
  execFileSync("/bin/mount", [...how, ...(data === "" ? [] : ["-o", data]), source, at]);
  try {
    return sh(script, at);
  } finally {
    await linux.umount(at);
  }
}

/** Nothing else keeps the suite's snapshots. */
const KEPT = { "containerd.io/gc.root": "now" };

class KeptSnapshots extends Snapshots {
  override prepare(key: string, parent: string, labels = {}) {
    return super.prepare(key, parent, { ...KEPT, ...labels });
  }
  override view(key: string, parent: string, labels = {}) {
    return super.view(key, parent, { ...KEPT, ...labels });
  }
  override commit(name: string, key: string, labels = {}) {
    return super.commit(name, key, { ...KEPT, ...labels });
  }
}

/** Why btrfs cannot be tried; false if it can. */
const noBtrfs = () =>
  !readFileSync("/proc/filesystems", "utf8").includes("\tbtrfs") && "this kernel has no btrfs";

/** The suite. */
async function suite(
  t: TestContext,
  client: BerthClient,
  snapshotter: string,
  folder: string,
): Promise<void> {
  const snapshots = new KeptSnapshots(client.connection, snapshotter);
  const run = (mounts: SnapshotMount[], script: string) => inside(folder, mounts, script);
  const layers = async (name: string) => {
    await run(
      await snapshots.prepare(`${name}-1`, ""),
      "echo one > a; echo one > b; mkdir -p d/e; echo x > d/e/f; chown 3:4 a; chmod 4711 a; ln a hard; ln -s a soft",
    );
    await snapshots.commit(`${name}1`, `${name}-1`);
    await run(
      await snapshots.prepare(`${name}-2`, `${name}1`),
      "echo two > b; rm -r d; mkdir d; echo new > d/g",
    );
    await snapshots.commit(`${name}2`, `${name}-2`);
  };

  await t.test("layers show what is above and below, and hide what was removed", async () => {
    await layers("l");
    const view = await snapshots.view("view", "l2");
    assert.equal(await run(view, "cat a b; ls d; stat -c '%u %g %a' a"), "one\ntwo\ng\n3 4 4711");
    assert.equal(await run(view, "readlink soft; stat -c %h hard"), "a\n2");
    await assert.rejects(run(view, "echo no > new 2>/dev/null"), "a view is read-only");
    const active = await snapshots.prepare("active", "l2");
    await run(active, "echo mine > b; rm a");
    assert.equal(await run(await snapshots.mounts("active"), "cat b; ls"), "mine\nb\nd\nhard\nsoft");
    assert.equal(await run(await snapshots.mounts("view"), "cat b"), "two");
    for (const key of ["active", "view"]) await snapshots.remove(key);
  });

  await t.test("the root folder keeps its owner and mode through all layers", async () => {
    await run(await snapshots.prepare("root-1", ""), "chown 7:8 .; chmod 750 .");
    await snapshots.commit("root1", "root-1");
    await snapshots.prepare("root-2", "root1");
    await snapshots.commit("root2", "root-2");
    assert.equal(await run(await snapshots.prepare("root-3", "root2"), "stat -c '%u %g %a' ."), "7 8 750");
    for (const key of ["root-3", "root2", "root1"]) await snapshots.remove(key);
  });

  await t.test("names, kinds, labels and parents", async () => {
    await snapshots.prepare("k", "l2", { "containerd.io/snapshot/own": "1", other: "2" });
    await assert.rejects(snapshots.prepare("k", "l2"), { code: "already_exists" });
    await assert.rejects(snapshots.prepare("x", "none"), { code: "not_found" });
    await assert.rejects(snapshots.prepare("x", "k"), { code: "invalid_argument" });
    await assert.rejects(snapshots.mounts("l2"), { code: "failed_precondition" });
    await assert.rejects(snapshots.mounts("none"), { code: "not_found" });
    await assert.rejects(snapshots.commit("l1", "k"), { code: "already_exists" });
    const info = await snapshots.stat("k");
    assert.deepEqual([info.kind, info.parent, info.labels.other], ["active", "l2", "2"]);
    await snapshots.commit("committed", "k", { more: "3" });
    const { kind, labels } = await snapshots.stat("committed");
    assert.deepEqual(
      [kind, labels],
      ["committed", { ...KEPT, "containerd.io/snapshot/own": "1", more: "3" }],
    );
    await assert.rejects(snapshots.stat("k"), { code: "not_found" });
    await snapshots.view("v", "committed");
    await assert.rejects(snapshots.commit("y", "v"), { code: "failed_precondition" });
    await assert.rejects(snapshots.remove("l2"), { code: "failed_precondition" });
    const children = [];
    for await (const { name } of snapshots.list(["parent==l2"])) children.push(name);
    assert.deepEqual(children, ["committed"]);
    for (const key of ["v", "committed"]) await snapshots.remove(key);
  });

  await t.test("usage counts a snapshot's own files", async () => {
    await snapshots.prepare("u", "");
    const before = await snapshots.usage("u");
    await run(await snapshots.mounts("u"), "head -c 1000000 /dev/urandom > big");
    const { size, inodes } = await snapshots.usage("u");
    assert.ok(size - before.size >= 1_000_000 && size - before.size < 1_100_000, String(size - before.size));
    assert.equal(inodes - before.inodes, 1);
    await snapshots.remove("u");
  });

  await t.test("an image is unpacked into it, and takes its snapshots along when it goes", async () => {
    const name = `docker.io/library/${snapshotter}:1`;
    const image = makeImage([busyboxLayer()]);
    async function* archive() {
      yield ociArchive(image, name);
    }
    await client.images.load(archive(), { snapshotter });
    const { chainId } = await client.images.resolve(await client.images.get(name));
    assert.equal((await snapshots.stat(chainId)).kind, "committed");
    assert.match(await run(await snapshots.view("look", chainId), "ls bin"), /busybox/);
    await snapshots.remove("look");
    await client.images.remove(name, { sync: true });
    await assert.rejects(snapshots.stat(chainId), { code: "not_found" }, "collected with the image");
  });

  await t.test("all can be removed", async () => {
    for (const key of ["l2", "l1"]) await snapshots.remove(key);
    for await (const { name } of snapshots.list()) assert.fail(`${name} is left`);
  });
}

async function start(t: TestContext, folder: string, args: string[] = []): Promise<[Daemon, BerthClient]> {
  const daemon = await startBerthd(folder, args);
  const client = connect({ address: daemon.socket });
  t.after(async () => {
    client.close();
    await daemon.stop();
  });
  return [daemon, client];
}

for (const snapshotter of ["overlayfs", "native"])
  test(`the snapshotter ${snapshotter}`, { skip }, async (t) => {
    const folder = new Folder();
    t.after(() => folder.remove());
    const [, client] = await start(t, folder.path);
    await suite(t, client, snapshotter, folder.path);
  });

test("the snapshotter btrfs", {
  skip: cannotRun("/bin/busybox", "/sbin/mkfs.btrfs") ?? noBtrfs(),
}, async (t) => {
  const folder = new Folder();
  t.after(() => folder.remove());
  const image = join(folder.path, "disk");
  const place = join(folder.path, "place");
  execFileSync("truncate", ["-s", "256M", image]);
  execFileSync("/sbin/mkfs.btrfs", ["-q", image]);
  mkdirSync(place);
  execFileSync("/bin/mount", ["-o", "loop", image, place]);
  const config = join(folder.path, "config.toml");
  writeFileSync(config, `[btrfs]\nroot = "${place}/snapshots"\n`);
  const [daemon, client] = await start(t, folder.path, ["--config", config]);
  await suite(t, client, "btrfs", folder.path);
  await client.garbage.collect();
  assert.deepEqual(readdirSync(join(place, "snapshots")), [], "no subvolume is left");
  await daemon.stop();
});

test("without btrfs, its snapshotter says so", { skip }, async (t) => {
  const folder = new Folder();
  t.after(() => folder.remove());
  const [daemon] = await start(t, folder.path);
  assert.match((await daemon.ctr("plugins", "ls")).stdout, /io.containerd.snapshotter.v1 +btrfs +\S+ +skip/);
  const prepared = await daemon.ctr("snapshots", "--snapshotter", "btrfs", "prepare", "x");
  assert.match(prepared.stderr, /snapshotter btrfs cannot be used: \S+ is not on btrfs/);
});

test("another program's snapshotter, by proxy", { skip }, async (t) => {
  const folder = new Folder();
  t.after(() => folder.remove());
  const [there, here] = ["there", "here"].map((name) => join(folder.path, name));
  for (const path of [there!, here!]) mkdirSync(path);
  const [daemon] = await start(t, there!);
  const config = join(here!, "config.toml");
  writeFileSync(
    config,
    `version = 3
[proxy_plugins.overlayfs]
  type = "snapshot"
  address = "${daemon.socket}"
[proxy_plugins.other]
  type = "content"
  address = "/x"
`,
  );
  const [proxied, client] = await start(t, here!, ["--config", config]);
  assert.match(proxied.log(), /mean nothing to berth are ignored.*keys=1/);
  await suite(t, client, "overlayfs", folder.path);
  assert.ok(!existsSync(join(here!, "root/snapshots/overlayfs")));
  const { stdout } = await daemon.ctr("snapshots", "ls");
  assert.equal(stdout.trim().split("\n").length, 1, stdout);
  const plugins = await proxied.ctr("plugins", "ls");
  assert.match(plugins.stdout, /io.containerd.snapshotter.v1 +overlayfs +.* ok/);

  await daemon.stop();
  const gone = new Snapshots(client.connection, "overlayfs").prepare("x", "");
  await assert.rejects(gone, { code: "unavailable" });
  assert.equal((await proxied.ctr("version")).code, 0);
});

/** Mounts that berthd makes: their life, what they may reach, and containers whose root file systems are of several. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { Mounts } from "@berth/api/mounts";
import { Tasks } from "@berth/api/tasks";
import { connect, type SnapshotMount } from "@berth/client";
import { linux } from "@berth/sys";
import { cannotRun, type Daemon, Folder, startBerthd } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive } from "../support/images.ts";
import { until } from "../support/until.ts";

const skip = cannotRun();
const mount = (type: string, source: string, ...options: string[]): SnapshotMount => ({
  type,
  source,
  target: "",
  options,
});

async function world(t: TestContext) {
  const folder = new Folder();
  // The first collection would take what nothing keeps from under a slow machine's tests.
  const config = join(folder.path, "config.toml");
  fs.writeFileSync(config, '[gc]\nstartup_delay = "1h"\n');
  const start = () => startBerthd(folder.path, ["--config", config]);
  let daemon: Daemon = await start();
  const open = () => {
    const client = connect({ address: daemon.socket });
    return { client, mounts: client.connection.client(Mounts), tasks: client.connection.client(Tasks) };
  };
  let now = open();
  t.after(async () => {
    now.client.close();
    await daemon.stop();
    await folder.remove();
  });
  const path = (...names: string[]) => join(folder.path, ...names);
  const make = (name: string, files: Record<string, string> = {}) => {
    fs.mkdirSync(path(name), { recursive: true });
    for (const [file, text] of Object.entries(files)) {
      fs.mkdirSync(join(path(name, file), ".."), { recursive: true });
      fs.writeFileSync(path(name, file), text);
    }
    return path(name);
  };
  return {
    folder,
    path,
    make,
    get daemon() {
      return daemon;
    },
    get mounts() {
      return now.mounts;
    },
    get tasks() {
      return now.tasks;
    },
    get client() {
      return now.client;
    },
    list: async (...filters: string[]) => {
      const names: string[] = [];
      for await (const { info } of now.mounts.list({ filters })) names.push(info!.name);
      return names;
    },
    /** Kills the daemon, and starts another. */
    restart: async (meanwhile: () => unknown = () => {}) => {
      now.client.close();
      await daemon.stop("SIGKILL");
      await meanwhile();
      daemon = await start();
      now = open();
    },
    mounted: () =>
      fs
        .readFileSync("/proc/self/mounts", "utf8")
        .split("\n")
        .map((line) => line.split(" ")[1]!)
        .filter((point) => point?.startsWith(path("run/mounts/"))),
  };
}

/** A file with an ext4 file system in it. */
function ext4(path: string, content: string): string {
  execFileSync("/usr/sbin/mkfs.ext4", ["-q", "-d", content, path, "4M"]);
  return path;
}

const devicesOf = (file: string) =>
  execFileSync("losetup", ["-j", file, "-O", "NAME", "-n"], { encoding: "utf8" });

test("mounts are made, listed, changed, kept over a kill, and undone", { skip }, async (t) => {
  const w = await world(t);
  const [a, b] = [w.make("a", { one: "1" }), w.make("b", { two: "2", "sub/three": "3" })];
  const given = [
    mount("bind", a, "ro"),
    mount("bind", b, "rbind"),
    mount("format/overlay", "overlay", "lowerdir={{ overlay 0 1 }}"),
  ];
  const { info } = await w.mounts.activate({ name: "some/name", mounts: given, labels: { color: "red" } });
  const points = info!.active.map((each) => each.mountPoint);
  assert.deepEqual(points, [w.path("run/mounts/1/0"), w.path("run/mounts/1/1")]);
  assert.equal(fs.readFileSync(join(points[0]!, "one"), "utf8"), "1");
  assert.throws(() => fs.writeFileSync(join(points[0]!, "new"), ""), /EROFS/);
  assert.deepEqual(
    info!.system.map(({ type, options }) => [type, ...options]),
    [["overlay", `lowerdir=${points.join(":")}`]],
  );
  assert.equal(fs.statSync(w.path("run/mounts")).mode & 0o777, 0o700);
  await assert.rejects(w.mounts.activate({ name: "some/name", mounts: given }), { code: "already_exists" });
  await assert.rejects(w.mounts.activate({ name: "plain", mounts: [mount("bind", a)] }), {
    code: "unimplemented",
  });
  await w.mounts.update({
    info: { name: "some/name", labels: { color: "blue" } },
    updateMask: { paths: ["labels.color"] },
  });
  await assert.rejects(w.mounts.update({ info: { name: "some/name" }, updateMask: { paths: ["active"] } }), {
    code: "invalid_argument",
  });
  assert.deepEqual((await w.mounts.info({ name: "some/name" })).info!.labels, { color: "blue" });
  assert.deepEqual(await w.list("labels.color==blue"), ["some/name"]);
  assert.deepEqual(await w.list("labels.color==red"), []);

  // What has a record is kept, what has none goes.
  await w.restart(() => {
    fs.mkdirSync(w.path("run/mounts/77/0"), { recursive: true });
    linux.mount("none", w.path("run/mounts/77/0"), "tmpfs", 0);
  });
  assert.equal(fs.readFileSync(join(points[1]!, "two"), "utf8"), "2");
  assert.deepEqual(w.mounted(), points);
  assert.equal(fs.existsSync(w.path("run/mounts/77")), false);
  // And what was unmounted, as by a reboot, is forgotten.
  const { info: temporary } = await w.mounts.activate({
    name: "t",
    mounts: [mount("bind", b)],
    temporary: true,
  });
  assert.deepEqual(
    temporary!.system.map(({ type, source }) => [type, source]),
    [["bind", temporary!.active[0]!.mountPoint]],
  );
  await w.restart(() => linux.umount(temporary!.active[0]!.mountPoint));
  assert.deepEqual(await w.list(), ["some/name"]);

  await w.mounts.deactivate({ name: "some/name" });
  await assert.rejects(w.mounts.deactivate({ name: "some/name" }), { code: "not_found" });
  await assert.rejects(w.mounts.info({ name: "some/name" }), { code: "not_found" });
  assert.deepEqual([w.mounted(), fs.readdirSync(w.path("run/mounts"))], [[], []]);
  assert.deepEqual(fs.readdirSync(b).sort(), ["sub", "two"], "nothing of what was mounted is removed");
});

test("loop devices, by type and by option, are detached in the end", { skip }, async (t) => {
  const w = await world(t);
  const image = ext4(w.path("disk.img"), w.make("content", { inside: "yes" }));
  const { info } = await w.mounts.activate({
    name: "by type",
    mounts: [
      mount("loop", image, "ro"),
      mount("format/ext4", "{{ mount 0 }}", "ro"),
      mount("format/bind", "{{ mount 1 }}"),
    ],
  });
  assert.equal(fs.readFileSync(join(info!.active[1]!.mountPoint, "inside"), "utf8"), "yes");
  await w.restart();
  assert.match(devicesOf(image), /loop/);
  await w.mounts.deactivate({ name: "by type" });
  await until("the loop device is free", () => devicesOf(image) === "");
  const option = { name: "by option", mounts: [mount("ext4", image, "loop")], temporary: true };
  const point = (await w.mounts.activate(option)).info!.active[0]!.mountPoint;
  assert.equal(fs.readFileSync(join(point, "inside"), "utf8"), "yes");
  await w.mounts.deactivate({ name: "by option" });
  await until("the loop device is free", () => devicesOf(image) === "");
  await assert.rejects(
    w.mounts.activate({ name: "no file", mounts: [mount("loop", w.path("content"))] }),
    /found a file of type 0o40000, expected a regular file|EISDIR/,
  );
  assert.deepEqual([await w.list(), w.mounted(), fs.readdirSync(w.path("run/mounts"))], [[], [], []]);
});

test("folders are made for mounts below the daemon's own only, and links are not followed", {
  skip,
}, async (t) => {
  const w = await world(t);
  const files = w.make("files", { "d/f": "x" });
  fs.symlinkSync("/etc", join(files, "link"));
  const outside = w.path("outside");
  const first = mount("bind", files);
  const activate = (...mounts: SnapshotMount[]) =>
    w.mounts.activate({ name: "x", mounts: [first, ...mounts], temporary: true });
  const refused: [SnapshotMount, RegExp][] = [
    [
      mount("mkdir/bind", "/etc", `X-containerd.mkdir.path=${outside}`),
      /mounts\[1\].options\[0\]: found .*outside, expected a path below/,
    ],
    [mount("format/mkdir/bind", "/etc", "X-containerd.mkdir.path={{ mount 0 }}/link/x"), /a symbolic link/],
    [mount("format/mkdir/bind", "/etc", "X-containerd.mkdir.path={{ mount 0 }}/../x"), /found "\.\."/],
    [mount("format/mkdir/bind", "/etc", "X-containerd.mkdir.path={{ mount 0 }}/x:888"), /MODE in octal/],
    [mount("format/bind", "{{ mount 0 }}/link"), /mounts\[1\]\.source: found a symbolic link/],
    [
      mount("format/overlay", "overlay", "lowerdir={{ mount 0 }}/link:/tmp"),
      /lowerdir: found a symbolic link/,
    ],
    [
      mount("nosuchfs", "x"),
      /mounts\[1\]: type: found "nosuchfs", expected a file system that the kernel has/,
    ],
    [{ ...mount("bind", "/etc"), target: "../../x" }, /mounts\[1\].target: found "\.\."/],
  ];
  for (const [each, why] of refused) await assert.rejects(activate(each), why);
  // The one that is left to a shim is checked as well.
  await assert.rejects(
    w.mounts.activate({ name: "x", mounts: [first, mount("format/bind", "{{ mount 0 }}/link")] }),
    /found a symbolic link/,
  );
  assert.deepEqual(
    [w.mounted(), fs.readdirSync(w.path("run/mounts")), fs.existsSync(outside)],
    [[], [], false],
  );
  const made = mount(
    "format/mkdir/bind",
    "{{ mount 0 }}/new",
    "X-containerd.mkdir.path={{ mount 0 }}/new:750:3:4",
  );
  await activate(made);
  const { mode, uid, gid } = fs.statSync(join(files, "new"));
  assert.deepEqual([mode & 0o7777, uid, gid], [0o750, 3, 4]);
});

test("an activation goes with its lease, or with what it is for", { skip }, async (t) => {
  const w = await world(t);
  const mounts = [mount("bind", w.make("a"))];
  await w.client.leases.raw.create({ id: "l" });
  const headers = { "containerd-lease": "l" };
  await w.mounts.activate({ name: "leased", mounts, temporary: true }, { headers });
  const labels = { "containerd.io/gc.bref.snapshot.overlayfs": "s" };
  await w.client.snapshots.prepare("s", "", { "containerd.io/gc.root": "now" });
  await w.mounts.activate({ name: "of snapshot", mounts, labels, temporary: true });
  await w.client.leases.raw.create({ id: "other" });
  await w.client.leases.raw.delete({ id: "other", sync: true });
  assert.deepEqual(await w.list(), ["leased", "of snapshot"]);
  await w.client.leases.raw.delete({ id: "l", sync: true });
  assert.deepEqual(await w.list(), ["of snapshot"]);
  assert.equal(w.mounted().length, 1);
  await w.client.snapshots.remove("s");
  await w.client.leases.raw.create({ id: "l" });
  await w.client.leases.raw.delete({ id: "l", sync: true });
  assert.deepEqual([await w.list(), w.mounted()], [[], []]);
});

test("a container's root file system may be of several mounts", { skip }, async (t) => {
  const w = await world(t);
  const ctr = async (...args: string[]) => {
    const ran = await w.daemon.ctr(...args);
    assert.equal(ran.code, 0, `ctr ${args.join(" ")}: ${ran.stderr}`);
    return ran.stdout;
  };
  fs.writeFileSync(w.path("bb.tar"), ociArchive(makeImage([busyboxLayer()]), "docker.io/library/bb:1"));
  await ctr("images", "import", w.path("bb.tar"));
  const image = w.make("image");
  await ctr("images", "mount", "--rw", "docker.io/library/bb:1", image);
  fs.cpSync(image, w.path("busybox"), { recursive: true, verbatimSymlinks: true });
  await linux.umount(image);
  fs.mkdirSync(w.path("busybox/data"));
  const script =
    "cat /extra/disk; cat /data/own; echo written > /new; mount | grep -c ' on /[^ ]*/mounts/' || true";
  await ctr("containers", "create", "docker.io/library/bb:1", "many", "sh", "/data/script");
  const disk = ext4(w.path("disk.img"), w.make("content", { "extra/disk": "from the disk\n" }));
  const out = w.path("out");
  const run = async (rootfs: SnapshotMount[]) => {
    fs.writeFileSync(out, "");
    const stdio = { stdin: "", stdout: `file://${out}`, stderr: `file://${out}`, terminal: false };
    await w.tasks.create({ containerId: "many", rootfs, ...stdio });
    await w.tasks.start({ containerId: "many" });
    await w.tasks.wait({ containerId: "many" });
  };
  const upper = w.make("upper");
  const work = w.make("work");
  const several = [
    mount("ext4", disk, "loop", "ro"),
    mount("bind", w.path("busybox"), "ro"),
    mount("format/overlay", "overlay", "lowerdir={{ overlay 0 1 }}", `upperdir=${upper}`, `workdir=${work}`),
    { ...mount("bind", w.make("own", { own: "own\n", script })), target: "/data" },
  ];
  await run(several);
  assert.equal(fs.readFileSync(out, "utf8"), "from the disk\nown\n0\n");
  assert.equal(fs.readFileSync(join(upper, "new"), "utf8"), "written\n");
  assert.deepEqual(await w.list(), ["many"]);
  await w.restart();
  await w.tasks.delete({ containerId: "many" });
  assert.deepEqual([await w.list(), w.mounted()], [[], []]);
  await until("the loop device is free", () => devicesOf(disk) === "");

  // A file alone is mounted in the container only.
  fs.writeFileSync(w.path("busybox/data/script"), "echo from a file; mount | grep ' on / '");
  const whole = ext4(w.path("whole.img"), w.path("busybox"));
  for (const access of ["rw", "ro"]) {
    await run([mount("ext4", whole, "loop", access)]);
    assert.match(
      fs.readFileSync(out, "utf8"),
      new RegExp(`^from a file\n/dev/.* on / type ext4 \\(${access}`),
    );
    assert.deepEqual([await w.list(), w.mounted()], [[], []]);
    await w.tasks.delete({ containerId: "many" });
    await until("the loop device is free", () => devicesOf(whole) === "");
  }

  // A task that cannot be made leaves nothing; a container that is removed takes its mounts along.
  await assert.rejects(
    run([...several.slice(0, 3), { ...mount("bind", "/etc/no/such"), target: "/data" }]),
    /ENOENT/,
  );
  assert.deepEqual([await w.list(), w.mounted()], [[], []]);
  await run(several);
  await ctr("tasks", "rm", "many");
  await ctr("containers", "rm", "many");
  await until(
    "the mounts are gone",
    async () => (await w.list()).length === 0 && w.mounted().length === 0 && devicesOf(disk) === "",
  );
});

/** Faults around a daemon: killed keepers and containers, full disks, an unwritable log. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { realSys } from "@berth/sys";
import { cannotRun } from "../support/daemons.ts";
import { HangingMount } from "../support/hanging-mount.ts";
import { makeImage, ociArchive, tar } from "../support/images.ts";
import { until } from "../support/until.ts";
import { containerMaker } from "./container-maker.ts";
import { Lane } from "./lane.ts";

const skip = cannotRun("/bin/busybox") ?? false;
realSys.becomeSubreaper();

/** A daemon with an image; `mounts` puts its folders on file systems of the given size in bytes. */
async function lane(t: TestContext, mounts: { root?: number; state?: number } = {}): Promise<Lane> {
  const made = new Lane(`faults-${process.pid}`);
  t.after(() => made.close());
  for (const [name, size] of Object.entries(mounts))
    execFileSync("mount", [
      "-t",
      "tmpfs",
      "-o",
      `size=${size},mode=711`,
      "berth-test",
      join(made.folder, name),
    ]);
  await made.up();
  await made.load();
  return made;
}

const started = (on: Lane, name: string, script: string) =>
  on.must("run", "-d", "--name", name, on.image, "sh", "-c", script);

const exited = (on: Lane, name: string) =>
  until(`${name} has ended`, async () => {
    const { State } = await on.inspect(name);
    return State.Status === "exited" ? State.ExitCode : undefined;
  });

function keeperOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

/** Takes all the free space; returns the function that frees it. */
function fill(folder: string): () => void {
  const path = join(folder, "filler");
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(path, "");
  for (let size = bavail * bsize; size >= bsize; size = Math.floor(size / 2 / bsize) * bsize)
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: "a" });
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  return () => rmSync(path);
}

test("a keeper, a container or both are killed, with the daemon up and down", { skip }, async (t) => {
  const on = await lane(t);
  await started(on, "first", "true");
  await exited(on, "first");
  const rest = on.traces();
  for (const away of [false, true])
    for (const target of ["keeper", "container", "both"] as const)
      await t.test(`${target}${away ? ", while there is no daemon" : ""}`, async () => {
        await started(on, "victim", "sleep 1000 & sleep 1000");
        const { Pid } = (await on.inspect("victim")).State;
        const keeper = keeperOf(Pid);
        if (away) await on.down();
        if (target !== "container") process.kill(keeper, "SIGKILL");
        if (target !== "keeper") process.kill(Pid, "SIGKILL");
        if (away) await on.up();
        assert.equal(await exited(on, "victim"), 137);
        // The name, the files and the way to start it are unaffected.
        await on.must("start", "victim");
        assert.notEqual((await on.inspect("victim")).State.Pid, Pid);
        await on.must("rm", "-f", "victim");
        assert.deepEqual(await on.settle(rest), []);
      });
});

test("200 fast exits with the daemon killed in between: none is lost", { skip }, async (t) => {
  const on = await lane(t);
  const client = on.client();
  t.after(() => client.close());
  const make = await containerMaker(on, client);
  const ids = Array.from({ length: 200 }, (_, i) => `fast-${i}`);
  const io = { stdin: "", stdout: "", stderr: "", terminal: false };
  const startable = ids.map(async (id, i) => {
    const { container } = await make(id, ["sh", "-c", `exit ${i % 100}`]);
    return container.newTask(io);
  });
  const tasks = await Promise.all(startable);
  // Calls in flight fail when the daemon dies; their process may have been started all the same.
  const starts = tasks.map((task) => task.start().catch(() => undefined));
  await Promise.all(starts.slice(0, 60));
  await on.down();
  await Promise.all(starts);
  await on.up();
  const codes = await Promise.all(
    ids.map(async (id) => {
      const task = await client.tasks.get(id);
      if ((await task.state()).status === "created") await task.start();
      return (await task.wait()).code;
    }),
  );
  assert.deepEqual(
    codes,
    ids.map((_, i) => i % 100),
  );
  // The next daemon knows them, too.
  await on.down();
  await on.up();
  for (const [i, { exitStatus, status }] of (await client.tasks.list())
    .sort((a, b) => Number(a.containerId.slice(5)) - Number(b.containerId.slice(5)))
    .entries())
    assert.deepEqual([status, exitStatus], ["stopped", i % 100]);
});

/** Writes continuously, and exits with 6. */
const COUNTS = "trap 'exit 6' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";

test("a full disk: errors name the path, containers keep running, and all is well once there is space", {
  skip,
}, async (t) => {
  const on = await lane(t, { root: 24 << 20 });
  const archive = (name: string, size: number) => {
    const path = join(on.folder, `${name}.tar`);
    const image = makeImage([tar({ name: "data", data: randomBytes(size) })], "none");
    writeFileSync(path, ociArchive(image, `docker.io/library/${name}:1`));
    return path;
  };
  const big = archive("big", 3 << 20);
  await started(on, "runs", COUNTS);
  await started(on, "waits", "trap 'exit 7' TERM; sleep 1000 & wait");
  const rest = on.traces();
  const free = fill(`${on.folder}/root`);
  const { Pid } = (await on.inspect("runs")).State;
  for (let i = 0; i < 2; i++) {
    const { code, err } = await on.berth("load", "-q", "-i", big);
    assert.notEqual(code, 0);
    assert.match(err, /ENOSPC|no space left|disk is full/i);
    assert.match(err, new RegExp(`${on.folder}/root|file system of the root directory`));
  }
  assert.equal((await on.inspect("runs")).State.Pid, Pid);
  // A daemon that starts on a full disk knows all of it, and records exits.
  await on.down();
  await on.up();
  assert.equal((await on.inspect("runs")).State.Pid, Pid);
  await on.must("stop", "-t", "5", "runs");
  assert.equal((await on.inspect("runs")).State.ExitCode, 6);
  await on.must("rm", "runs");
  free();
  await on.must("load", "-q", "-i", big);
  await on.must("rmi", "big:1");
  await started(on, "runs", COUNTS);
  assert.deepEqual(await on.settle(rest), []);
  await on.must("rm", "-f", "runs", "waits");
});

test("a full /run: the same, and no exit is lost", { skip }, async (t) => {
  const on = await lane(t, { state: 4 << 20 });
  await started(on, "runs", "trap 'exit 6' TERM; echo up; sleep 1000 & wait");
  await started(on, "exits", "trap 'exit 8' TERM; echo up; sleep 1000 & wait");
  await until("they are up", async () => (await on.must("logs", "exits")) === "up" || undefined);
  await until("they are up", async () => (await on.must("logs", "runs")) === "up" || undefined);
  const rest = on.traces();
  const free = fill(`${on.folder}/state`);
  const { code, err } = await on.berth("run", "-d", "--name", "none", on.image, "sleep", "9");
  assert.notEqual(code, 0);
  assert.match(err, new RegExp(`${on.folder}/state`), err);
  assert.match(err, /ENOSPC/, err);
  assert.match((await on.berth("inspect", "none")).err, /no such/);
  assert.match((await on.berth("exec", "runs", "true")).err, /ENOSPC/);
  const { Pid } = (await on.inspect("runs")).State;
  // One exits while the daemon is down, one while it is up.
  await on.must("stop", "-t", "5", "exits");
  await on.down();
  process.kill(Pid, "SIGTERM");
  await until("it has ended", () => !existsSync(`/proc/${Pid}`) || undefined);
  await on.up();
  assert.equal(await exited(on, "runs"), 6);
  assert.equal(await exited(on, "exits"), 8);
  free();
  for (const name of ["runs", "exits"]) await on.must("start", name);
  assert.deepEqual(await on.settle(rest), []);
  for (const name of ["runs", "exits"]) await on.must("rm", "-f", name);
});

test("an unwritable log is named, and does not stop its container", { skip }, async (t) => {
  const on = await lane(t);
  const id = await on.must("create", "--name", "mute", on.image, "sh", "-c", "echo one; exit 3");
  const logs = `${on.folder}/root/logs/${on.namespace}`;
  // A file in place of the log's folder, so that the log cannot be created.
  mkdirSync(logs, { recursive: true });
  writeFileSync(`${logs}/${id}`, "");
  const { code, err } = await on.berth("start", "mute");
  assert.notEqual(code, 0);
  assert.match(err, new RegExp(`${logs}/${id}`), err);
  assert.match(err, /EEXIST|ENOTDIR/, err);
  rmSync(`${logs}/${id}`);
  await on.must("start", "mute");
  assert.equal(await exited(on, "mute"), 3);
  assert.equal(await on.must("logs", "mute"), "one");
});

test("a process blocked in the kernel by its storage is named, and exits once that is released", {
  skip,
}, async (t) => {
  if (!existsSync("/dev/fuse")) return t.skip("there is no /dev/fuse");
  const on = await lane(t);
  const hanging = await HangingMount.make(join(on.folder, "hangs"));
  t.after(() => hanging.release());
  await started(on, "waits", "exit 0");
  await exited(on, "waits");
  await on.must("rm", "waits");
  const rest = on.traces();
  await on.must("run", "-d", "--name", "stuck", "-v", `${hanging.path}:/mnt`, on.image, "cat", "/mnt/file");
  await hanging.asked();
  const { Pid } = (await on.inspect("stuck")).State;
  const { code, err } = await on.berth("stop", "-t", "0", "stuck");
  assert.equal(code, 1);
  assert.match(err, new RegExp(`did not end .*process ${Pid} \\(cat\\), state D`));
  assert.match(err, /fuse/, "the kernel's stack says what it waits for");
  // A new daemon does not lose it either.
  await on.down();
  await on.up();
  assert.equal((await on.inspect("stuck")).State.Status, "running");
  await hanging.release();
  assert.equal(await exited(on, "stuck"), 137);
  await on.must("rm", "stuck");
  assert.deepEqual(
    (await on.settle(rest)).filter((line) => !line.startsWith("lost: mount")),
    [],
  );
});

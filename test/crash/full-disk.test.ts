/** A disk that a container keeps full: exits are recorded, removals free space, and a daemon starts on it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { realSys } from "@berth/sys";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";
import { Lane } from "./lane.ts";

const skip = cannotRun("/bin/busybox") ?? false;
realSys.becomeSubreaper();

/** A daemon whose root has a small file system of its own. */
async function lane(t: TestContext): Promise<Lane> {
  const made = new Lane(`full-${process.pid}`, process.env.BERTH_TEST_BIN);
  t.after(() => made.close());
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m,mode=711", "berth-test", join(made.folder, "root")]);
  await made.up();
  await made.load();
  return made;
}

const free = (folder: string): number => {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
};

/** Takes all the free space; returns the file that holds it. */
function fill(folder: string): string {
  const filler = join(folder, "filler");
  writeFileSync(filler, "");
  for (let size = 1 << 20; size >= 4096; )
    try {
      writeFileSync(filler, Buffer.alloc(size), { flag: "a" });
    } catch {
      size /= 2;
    }
  return filler;
}

/** Takes any space that becomes free, at once, continually. */
const GREEDY = "while :; do cat /dev/zero >> /taken; sleep 0.005; done 2>/dev/null";

async function fillUp(on: Lane): Promise<void> {
  await on.must("run", "-d", "--name", "greedy", "--user", "0", on.image, "sh", "-c", GREEDY);
  await until("the disk is full", () => free(join(on.folder, "root")) === 0 || undefined);
}

const status = async (on: Lane, name: string) => {
  const { State } = await on.inspect(name);
  return `${State.Status} ${State.ExitCode}`;
};

test("on a full disk, exits are recorded, restarts happen, and removals free space", {
  skip,
}, async (t) => {
  const on = await lane(t);
  const sleeper = ["sh", "-c", "sleep 1000 & wait"];
  for (const name of ["stopped", "killed", "also"])
    await on.must("run", "-d", "--name", name, on.image, ...sleeper);
  await on.must("run", "-d", "--name", "always", "--restart", "always", on.image, ...sleeper);
  await fillUp(on);

  // More exits and changes than fit into a few spare pages.
  await on.must("stop", "-t", "0", "stopped");
  assert.equal(await status(on, "stopped"), "exited 137");
  for (let turn = 0; turn < 5; turn++) {
    await on.must("start", "stopped");
    await on.must("stop", "-t", "0", "stopped");
  }
  const { Pid } = (await on.inspect("always")).State;
  process.kill(Pid, "SIGKILL");
  await until("it was started again", async () => {
    const { State } = await on.inspect("always");
    return (State.Status === "running" && State.Pid !== Pid) || undefined;
  });

  // A daemon starts on it, and knows the exits during its downtime.
  const before = (await on.inspect("killed")).State.Pid;
  await on.down();
  process.kill(before, "SIGKILL");
  await until("it is gone", () => !existsSync(`/proc/${before}`) || undefined);
  await on.up();
  assert.equal(await status(on, "stopped"), "exited 137");
  assert.equal(await status(on, "killed"), "exited 137");
  assert.equal((await on.inspect("always")).State.Status, "running");

  // A clean shutdown keeps the reserve for the next daemon.
  await on.down("SIGTERM");
  await until("what it gave back is taken", () => free(join(on.folder, "root")) === 0 || undefined);
  await on.up();
  await on.must("stop", "-t", "0", "also");
  assert.equal(await status(on, "also"), "exited 137");
  await on.down();
  await on.up();
  assert.equal(await status(on, "also"), "exited 137");

  await on.must("rm", "-f", "also");
  await on.must("rm", "-f", "greedy");
  await until("there is room again", () => free(join(on.folder, "root")) > 1 << 20 || undefined);
  await on.must("rm", "-f", "stopped", "killed", "always");
  await on.must("rmi", on.image);
});

test("an image can be removed from a full disk, which frees its space", { skip }, async (t) => {
  const on = await lane(t);
  const root = join(on.folder, "root");
  const filler = fill(root);
  await on.must("rmi", on.image);
  await until("the image's layers are gone", () => free(root) > 1 << 20 || undefined);
  rmSync(filler);
});

test("a database without a reserve is read on a full disk, and the daemon logs that", {
  skip,
}, async (t) => {
  const on = await lane(t);
  await on.must("create", "--name", "kept", on.image, "true");
  await on.down("SIGTERM");
  const root = join(on.folder, "root");
  const db = new DatabaseSync(join(root, "metadata.db"));
  db.exec("DELETE FROM settings WHERE name IN ('reserve', 'event-sequence', 'uuid')");
  // Leftovers of an interrupted transfer, to be removed at the start.
  db.exec(`INSERT INTO leases VALUES ('${on.namespace}', 'berth-transfer-cut', '{}', '0')`);
  db.exec("VACUUM");
  db.close();
  rmSync(join(root, "metadata.db.reserve"), { force: true });
  const filler = fill(root);
  await on.up();
  assert.equal((await on.inspect("kept")).State.Status, "created");
  assert.match(on.log, /error .*the file system is full: what is there is served/);
  const { code, err } = await on.berth("create", on.image, "true");
  assert.notEqual(code, 0);
  assert.match(err, /full|ENOSPC/);
  rmSync(filler);
  await until("it can be written again", async () => {
    const { code } = await on.berth("rm", "kept");
    return code === 0 || undefined;
  });
  await on.must("run", "--rm", on.image, "true");
});

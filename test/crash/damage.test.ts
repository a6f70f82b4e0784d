/** Corrupt files: they are named, and whatever can be saved is. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { realSys } from "@berth/sys";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";
import { Lane } from "./lane.ts";

const skip = cannotRun("/bin/busybox") ?? false;
realSys.becomeSubreaper();

const lane = (t: TestContext) => Lane.start(t, "damage");

const POLITE = 'trap "exit 7" TERM; echo up; sleep 1000 & wait';

test("a damaged record of a running task is named and rewritten", { skip }, async (t) => {
  const on = await lane(t);
  await on.must("run", "--rm", on.image, "true");
  const rest = on.traces();
  const id = await on.must("run", "-d", "--name", "hurt", on.image, "sh", "-c", POLITE);
  await until("it is up", async () => (await on.must("logs", "hurt")) === "up" || undefined);
  const { Pid } = (await on.inspect("hurt")).State;
  await on.down();
  const path = join(on.folder, "state/io.containerd.runtime.v2.task", on.namespace, id, "task.json");
  truncateSync(path, 20);
  await on.up();
  assert.ok(on.log.includes(`${path} is damaged`), on.log);
  assert.deepEqual((await on.inspect("hurt")).State.Pid, Pid);
  assert.equal(await on.must("exec", "hurt", "echo", "added"), "added");
  await on.must("stop", "-t", "5", "hurt");
  assert.equal((await on.inspect("hurt")).State.ExitCode, 7);
  await on.must("start", "hurt");
  await on.must("rm", "-f", "hurt");
  assert.deepEqual(await on.settle(rest), []);
});

test("a snapshot's missing folder is named, with the next step", { skip }, async (t) => {
  const on = await lane(t);
  await on.must("create", "--name", "hollow", on.image, "true");
  const snapshots = join(on.folder, "root/snapshots/overlayfs");
  // The layers were created first.
  const [layer] = readdirSync(snapshots).sort((a, b) => Number(a) - Number(b));
  rmSync(join(snapshots, layer!), { recursive: true });
  const { code, err } = await on.berth("start", "hollow");
  assert.notEqual(code, 0);
  assert.match(
    err,
    /snapshot sha256:[0-9a-f]{64} has lost its files: \S+\/snapshots\/overlayfs\/\d+\/fs is gone/,
  );
  assert.match(err, /rmi .*pull|remove .* image/i);
  await on.must("rm", "hollow");
});

test("a damaged database is named, reported, and rebuilt from its readable rows and the backup", {
  skip,
}, async (t) => {
  const on = await lane(t);
  for (const name of ["one", "two"]) await on.must("create", "--name", name, on.image, "true");
  // A clean shutdown makes a backup.
  await on.down("SIGTERM");
  await on.up();
  await on.must("create", "--name", "three", on.image, "true");
  await on.down("SIGTERM");
  const path = join(on.folder, "root/metadata.db");
  const doctor = (...more: string[]) => {
    const args = [
      "--doctor",
      "--root",
      join(on.folder, "root"),
      "--state",
      join(on.folder, "state"),
      ...more,
    ];
    const { stdout, stderr, status } = spawnSync(join(on.bin, "berthd"), args, {
      encoding: "utf8",
      timeout: 20_000,
    });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout).findings as { kind: string; where: string; why: string; fixed: boolean }[];
  };
  assert.deepEqual(doctor(), []);
  // All but the first pages, which hold the schema.
  const fd = openSync(path, "r+");
  const { size } = fstatSync(fd);
  for (let at = 4096 * 3; at < size; at += 4096) writeSync(fd, randomBytes(4096), 0, 4096, at);
  closeSync(fd);
  await assert.rejects(on.up(), (error: Error) => {
    assert.match(error.message, /metadata database \S+metadata\.db is damaged: .*malformed/);
    assert.match(error.message, /--doctor/);
    return true;
  });
  const [finding] = doctor();
  assert.equal(finding!.kind, "metadata database");
  assert.equal(finding!.where, path);
  assert.match(finding!.why, /what can be read: .*containers \d+.*; the backup is of 20/);
  const [mended] = doctor("--fix");
  assert.equal(mended!.fixed, true);
  assert.ok(readdirSync(join(on.folder, "root")).some((name) => name.startsWith("metadata.db.damaged-")));
  await on.up();
  for (const name of ["one", "two", "three"]) await on.must("start", name);
  await on.must("rm", "-f", "one", "two", "three");
  await on.must("run", "--rm", on.image, "true");

  // Including the first page.
  await on.down("SIGTERM");
  writeFileSync(path, "this is no database at all\n".repeat(1000));
  await assert.rejects(on.up(), /is damaged: file is not a database/);
  doctor("--fix");
  await on.up();
  await on.must("run", "--rm", on.image, "true");
});

test("a damaged blob is named when it is used, and repaired by loading the image again", {
  skip,
}, async (t) => {
  const on = await lane(t);
  const blobs = join(on.folder, "root/content/blobs/sha256");
  const largest = readdirSync(blobs)
    .map((name) => ({ path: join(blobs, name), size: statSync(join(blobs, name)).size }))
    .sort((a, b) => b.size - a.size)[0]!;
  const archive = join(on.folder, "saved.tar");
  await on.must("save", "-o", archive, on.image);
  const fd = openSync(largest.path, "r+");
  writeSync(fd, randomBytes(512), 0, 512, Math.floor(largest.size / 2));
  closeSync(fd);
  const damaged = new RegExp(`blob sha256:[0-9a-f]{64} is damaged: its digest is .*${largest.path}`);
  const { code, err } = await on.berth("save", "-o", join(on.folder, "again.tar"), on.image);
  assert.notEqual(code, 0);
  assert.match(err, damaged);
  assert.match(err, /berth rmi/);
  await on.must("rmi", on.image);
  await until("its blobs are gone", () => readdirSync(blobs).length === 0 || undefined);
  await on.must("load", "-q", "-i", archive);
  await on.must("run", "--rm", on.image, "true");
});

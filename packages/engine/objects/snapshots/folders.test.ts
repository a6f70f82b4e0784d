import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SnapshotFolders } from "./folders.ts";

function make(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), "berth-folders-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return new SnapshotFolders(root, ["fs", "work/work", "work"]);
}

function fill(folders: SnapshotFolders, number: number, written?: string): void {
  mkdirSync(folders.path(number, "fs"), { recursive: true });
  mkdirSync(folders.path(number, "work/work"), { recursive: true });
  if (written === undefined) return;
  mkdirSync(folders.path(number, "fs", written));
  writeFileSync(folders.path(number, "fs", written, "file"), "content");
}

test("retired folders are purged, written to or not; others stay", async (t) => {
  const folders = make(t);
  for (const n of [1, 2, 3]) fill(folders, n, n === 2 ? "etc" : undefined);
  // A view has no work folder.
  mkdirSync(folders.path(4, "fs"), { recursive: true });
  for (const n of [1, 2, 4]) assert.equal(folders.retire(n), true);
  assert.equal(folders.retire(9), false);
  await folders.purge();
  assert.deepEqual(readdirSync(folders.root), ["3"]);
});

test("a purge covers all folders retired before its call, also while another one runs", async (t) => {
  const folders = make(t);
  fill(folders, 1, "etc");
  folders.retire(1);
  const first = folders.purge();
  fill(folders, 2, "etc");
  folders.retire(2);
  const second = folders.purge();
  assert.equal(folders.purge(), second, "those that come meanwhile share one");
  await second;
  assert.deepEqual(readdirSync(folders.root), []);
  await first;
  fill(folders, 3);
  folders.retire(3);
  await folders.purge();
  assert.equal(existsSync(join(folders.root, "rm-3")), false);
});

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { makeFolder } from "./folder.ts";

test("excess permissions of an earlier version's folder are removed", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-folder-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const old = join(folder, "old");
  mkdirSync(old, { mode: 0o755 });
  makeFolder(old, "root directory", 0o700);
  assert.equal(statSync(old).mode & 0o777, 0o700);
  makeFolder(old, "root directory", 0o711);
  assert.equal(statSync(old).mode & 0o777, 0o700, "what is stricter stays so");
  makeFolder(join(folder, "new"), "root directory", 0o700);
  assert.equal(statSync(join(folder, "new")).mode & 0o777, 0o700);
});

test("creates missing folders, and names one that cannot be created", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-folder-"));
  t.after(() => rmSync(folder, { recursive: true }));
  makeFolder(join(folder, "a/b"), "root directory");
  makeFolder(join(folder, "a/b"), "root directory");
  assert.ok(statSync(join(folder, "a/b")).isDirectory());
  writeFileSync(join(folder, "file"), "");
  assert.throws(() => makeFolder(join(folder, "file"), "root directory"), /root directory \S+ is not a dir/);
  assert.throws(() => makeFolder(join(folder, "file/x"), "root directory"), /cannot make .*ENOTDIR/);
  assert.throws(() => makeFolder("/proc/berth-nothing/x", "root directory"), /cannot make .*ENOENT/);
});

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { makeFolder } from "./folder.ts";

test("makes what is missing, and says what cannot be made", (t) => {
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

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Database } from "./database.ts";
import { LogSync } from "./log-sync.ts";

test("actions that depend on a commit run once it is on disk, in order", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-sync-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const db = new Database(join(folder, "metadata.db"));
  await db.settled();
  const done: string[] = [];
  const add = (name: string) =>
    db.transaction(() => {
      db.run("INSERT INTO settings (name, value) VALUES (?, '')", name);
      db.afterCommit(() => done.push(`committed ${name}`));
      db.afterSync(() => done.push(`on disk ${name}`));
    });
  add("a");
  add("b");
  assert.deepEqual(done, ["committed a", "committed b"]);
  await db.settled();
  assert.deepEqual(done, ["committed a", "committed b", "on disk a", "on disk b"]);
  assert.equal(db.settled(), undefined, "nothing is left to wait for");
  // A rolled back transaction's action does not run.
  assert.throws(() =>
    db.transaction(() => {
      db.afterSync(() => done.push("never"));
      throw new Error("no");
    }),
  );
  add("c");
  db.close();
  assert.equal(done.at(-1), "on disk c", "closing waits for the disk");
  const again = new Database(join(folder, "metadata.db"));
  assert.equal(again.all("SELECT name FROM settings WHERE length(name) = 1").length, 3);
  again.close();
});

test("a disk failure is reported to waiting callers", async () => {
  const sync = new LogSync("/no/such/log");
  sync.committed([]);
  await assert.rejects(sync.settled()!, /ENOENT/);
});

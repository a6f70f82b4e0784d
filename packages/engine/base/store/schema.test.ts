import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import test from "node:test";
import { Database } from "./database.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/** The tables that came with each version. */
const ADDED: readonly (readonly [version: number, tables: readonly string[]])[] = [
  [2, ["activations"]],
  [3, ["sandboxes"]],
  [4, ["remote_snapshots"]],
];

/** All tables and indexes, as they were declared. */
function schemaOf(path: string): unknown[] {
  const db = new DatabaseSync(path);
  try {
    return db
      .prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
      .all();
  } finally {
    db.close();
  }
}

test("a database of any earlier version becomes the same as a new one, and keeps its rows", () => {
  const folder = fs.mkdtempSync(join(tmpdir(), "berth-schema-"));
  try {
    const fresh = join(folder, "fresh.db");
    Database.open(fresh).close();
    for (let from = 1; from < SCHEMA_VERSION; from++) {
      const path = join(folder, `${from}.db`);
      Database.open(path).close();
      const old = new DatabaseSync(path);
      for (const [version, tables] of ADDED)
        if (version > from) for (const table of tables) old.exec(`DROP TABLE ${table}`);
      old.exec(`INSERT INTO namespaces (name, labels) VALUES ('n', '{}'); PRAGMA user_version=${from}`);
      old.close();
      const db = Database.open(path);
      assert.equal(db.get("SELECT name FROM namespaces")?.name, "n");
      db.close();
      assert.deepEqual(schemaOf(path), schemaOf(fresh), `from version ${from}`);
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

/** Rebuilding a damaged database from its readable rows, and from its last backup for the rest. */
import * as fs from "node:fs";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { backupOf, isDamage } from "./damage.ts";
import { SCHEMA, SCHEMA_VERSION, TABLES } from "./schema.ts";

/** Result for one table. */
export interface SalvagedTable {
  name: string;
  /** Rows read from the damaged file. */
  rows: number;
  /** The table was read to its end. */
  complete: boolean;
  /** Rows taken from the backup. */
  fromBackup: number;
}

/** Salvages `path` and its backup into a new database, `into`; ":memory:" for a dry run. */
export function salvage(path: string, into: string): SalvagedTable[] {
  const target = new DatabaseSync(into);
  try {
    target.exec("PRAGMA foreign_keys=OFF; PRAGMA journal_mode=DELETE; BEGIN");
    target.exec(SCHEMA);
    target.exec(`PRAGMA user_version=${SCHEMA_VERSION}`);
    const tables = TABLES.map((name): SalvagedTable => {
      const { rows, complete } = copyTable(target, path, name);
      const fromBackup = complete ? 0 : copyTable(target, backupOf(path), name).rows;
      return { name, rows, complete, fromBackup };
    });
    // Remove the dependents of leases that could not be read.
    target.exec(
      "DELETE FROM lease_resources WHERE NOT EXISTS (SELECT 1 FROM leases WHERE leases.ns = lease_resources.ns AND leases.id = lease_resources.lease)",
    );
    target.exec("COMMIT");
    return tables;
  } finally {
    target.close();
  }
}

/** Copies the readable rows that are not there yet. */
function copyTable(target: DatabaseSync, path: string, name: string): { rows: number; complete: boolean } {
  if (!fs.existsSync(path)) return { rows: 0, complete: false };
  let source: DatabaseSync | undefined;
  let rows = 0;
  try {
    source = new DatabaseSync(path);
    for (const row of source.prepare(`SELECT * FROM ${name}`).iterate() as Iterable<
      Record<string, SQLInputValue>
    >) {
      const columns = Object.keys(row);
      const sql = `INSERT OR IGNORE INTO ${name} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`;
      rows += Number(target.prepare(sql).run(...Object.values(row)).changes);
    }
    return { rows, complete: true };
  } catch (error) {
    if (!isDamage(error) && !/no such table/.test(String(error))) throw error;
    return { rows, complete: false };
  } finally {
    source?.close();
  }
}

/** Replaces a damaged database with a salvaged one; returns the path at which the damaged one is kept. */
export function replaceDatabase(path: string, fresh: string, now = new Date()): string {
  const kept = `${path}.damaged-${now.toISOString().replaceAll(":", "")}`;
  const fd = fs.openSync(fresh, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  fs.renameSync(path, kept);
  // The old file's log must not be applied to the new one.
  for (const end of ["-wal", "-shm", "-journal", ".reserve"]) fs.rmSync(`${path}${end}`, { force: true });
  fs.renameSync(fresh, path);
  return kept;
}

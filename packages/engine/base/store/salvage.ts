/** Making a new database of what can be read of a damaged one, and of its last backup where that cannot. */
import * as fs from "node:fs";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { backupOf, isDamage } from "./damage.ts";
import { SCHEMA, SCHEMA_VERSION, TABLES } from "./schema.ts";

/** What became of a table. */
export interface SalvagedTable {
  name: string;
  /** Rows that the damaged file gave. */
  rows: number;
  /** It was read to its end. */
  whole: boolean;
  /** Rows that are from the backup. */
  fromBackup: number;
}

/** Reads what there is of `path` and its backup into a new database, `into`. Where nothing is to be made, ":memory:". */
export function salvage(path: string, into: string): SalvagedTable[] {
  const target = new DatabaseSync(into);
  try {
    target.exec("PRAGMA foreign_keys=OFF; PRAGMA journal_mode=DELETE; BEGIN");
    target.exec(SCHEMA);
    target.exec(`PRAGMA user_version=${SCHEMA_VERSION}`);
    const tables = TABLES.map((name): SalvagedTable => {
      const { rows, whole } = copyTable(target, path, name);
      const fromBackup = whole ? 0 : copyTable(target, backupOf(path), name).rows;
      return { name, rows, whole, fromBackup };
    });
    // What hangs on a lease that could not be read.
    target.exec(
      "DELETE FROM lease_resources WHERE NOT EXISTS (SELECT 1 FROM leases WHERE leases.ns = lease_resources.ns AND leases.id = lease_resources.lease)",
    );
    target.exec("COMMIT");
    return tables;
  } finally {
    target.close();
  }
}

/** Copies the rows that can be read and that are not there yet. */
function copyTable(target: DatabaseSync, path: string, name: string): { rows: number; whole: boolean } {
  if (!fs.existsSync(path)) return { rows: 0, whole: false };
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
    return { rows, whole: true };
  } catch (error) {
    if (!isDamage(error) && !/no such table/.test(String(error))) throw error;
    return { rows, whole: false };
  } finally {
    source?.close();
  }
}

/** Puts a new database, made by {@link salvage}, in the place of a damaged one, which is kept; its path. */
export function replaceDatabase(path: string, fresh: string, now = new Date()): string {
  const kept = `${path}.damaged-${now.toISOString().replaceAll(":", "")}`;
  const fd = fs.openSync(fresh, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  fs.renameSync(path, kept);
  // The old file's log is nothing to the new one.
  for (const end of ["-wal", "-shm", "-journal", ".reserve"]) fs.rmSync(`${path}${end}`, { force: true });
  fs.renameSync(fresh, path);
  return kept;
}

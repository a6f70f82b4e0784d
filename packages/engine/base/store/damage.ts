/** Detection of a corrupt database file. */
import { DatabaseSync } from "node:sqlite";
import { BerthError } from "@berth/base";

/** Path of a database's backup. */
export const backupOf = (path: string) => `${path}.backup`;

/** Whether an error of SQLite means that the file is corrupt. */
export function isDamage(error: unknown): error is Error {
  return error instanceof Error && /malformed|not a database|database corruption/.test(error.message);
}

/** The error for a corrupt database: which file, and how to recover. */
export function damageError(path: string, error: Error): BerthError {
  return new BerthError("data_loss", `the metadata database ${path} is damaged: ${error.message}`, {
    stage: "metadata",
    path,
    cause: error,
    hint: "stop berthd; `berthd --doctor` with its --root tells what can be read, and with --fix makes a new one of that and of the last backup",
  });
}

/** SQLite's description of a database file's corruption; undefined if it is intact. The database must not be open. */
export function damageOf(path: string): string | undefined {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    const [first] = db.prepare("PRAGMA quick_check(1)").all() as { quick_check: string }[];
    return first === undefined || first.quick_check === "ok" ? undefined : first.quick_check;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return error.message;
  } finally {
    db?.close();
  }
}

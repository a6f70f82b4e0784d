/**
 * The metadata database: SQLite in WAL mode, one transaction per request. A request is answered once its commits are
 * on disk ({@link Database.settled}); concurrent requests share a sync.
 *
 * All persistent state is here; blobs and snapshot folders are named by rows, and files without a row are garbage.
 * Statements are prepared once and kept.
 */

import * as fs from "node:fs";
import { backup, DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { BerthError } from "@berth/base";
import { restrict } from "../core/folder.ts";
import { damageError, isDamage } from "./damage.ts";
import { LogSync } from "./log-sync.ts";
import { adoptLog, extendLog, keepLog, Reserve } from "./reserve.ts";
import { MIGRATIONS, SCHEMA, SCHEMA_VERSION } from "./schema.ts";

/** SQLite gives files that it creates beside the database the same permissions. */
function makePrivate(path: string): void {
  fs.closeSync(fs.openSync(path, "a", 0o600));
  for (const each of [path, `${path}-wal`, `${path}-shm`, `${path}-journal`, `${path}.reserve`])
    restrict(each, 0o600);
}

/** Name of the row in `settings` whose space is the reserve, and its size in bytes. */
const RESERVE_ROW = "reserve";
const RESERVE_BYTES = 512 << 10;

/** A row as SQLite returns it. */
export type Row = Record<string, unknown>;

/** Access to the database. */
export class Database {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #statements = new Map<string, StatementSync>();
  readonly #reserve: Reserve | undefined;
  #depth = 0;
  #commits = 0;
  #writable = true;
  #afterCommit: (() => void)[] = [];
  #afterSync: (() => void)[] = [];
  /** Undefined for a database in memory. */
  readonly #sync: LogSync | undefined;

  /**
   * Opens or creates the file; ":memory:" for tests. "failed_precondition" if it was written by a newer berth,
   * "data_loss" if it is corrupt.
   */
  static open(path: string): Database {
    try {
      return new Database(path);
    } catch (error) {
      throw isDamage(error) ? damageError(path, error) : error;
    }
  }

  /** See {@link open}. */
  constructor(path: string) {
    const kept = path !== ":memory:";
    if (kept) makePrivate(path);
    if (kept) adoptLog(path);
    this.#path = path;
    this.#db = new DatabaseSync(path);
    this.#db.exec(
      // Only this process opens it: the lock is taken once. SQLite's temporary data must not need disk space either.
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=2000; PRAGMA temp_store=MEMORY",
    );
    const found = Number(this.get("PRAGMA user_version")?.user_version);
    if (found > SCHEMA_VERSION)
      throw new BerthError(
        "failed_precondition",
        `${path} was written by a newer berth (schema ${found}, this one knows ${SCHEMA_VERSION})`,
        { path, hint: "use that version, or another root directory" },
      );
    if (kept) this.#sync = new LogSync(`${path}-wal`);
    if (found < SCHEMA_VERSION)
      this.transaction(() => {
        if (found === 0) this.#db.exec(SCHEMA);
        else for (let to = found + 1; to <= SCHEMA_VERSION; to++) this.#db.exec(MIGRATIONS.get(to)!);
        this.#db.exec(`PRAGMA user_version=${SCHEMA_VERSION}`);
      });
    if (!kept) return;
    extendLog(path);
    this.#reserve = new Reserve({
      held: () => this.#holdsReserve(),
      fill: () => this.#fillReserve(),
      release: () => this.#releaseReserve(),
    });
  }

  #holdsReserve(): boolean {
    return this.get("SELECT 1 FROM settings WHERE name = ?", RESERVE_ROW) !== undefined;
  }

  #releaseReserve(): void {
    this.#attempt(() => this.run("DELETE FROM settings WHERE name = ?", RESERVE_ROW));
  }

  /** Inserts the row, and checkpoints it into the database file: only there it has space of its own. */
  #fillReserve(): void {
    const sql = `INSERT OR REPLACE INTO settings (name, value) VALUES (?, hex(randomblob(${RESERVE_BYTES / 2})))`;
    try {
      this.#attempt(() => this.run(sql, RESERVE_ROW));
      const done = this.get("PRAGMA wal_checkpoint(FULL)");
      if (Number(done?.busy) !== 0) throw new Error("the checkpoint was not complete");
    } catch (error) {
      this.#writable = false;
      if (this.#holdsReserve()) this.#releaseReserve();
      throw error;
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** The first row, or undefined. */
  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#named(() => this.#prepare(sql).get(...values) as Row | undefined);
  }

  /** All rows. */
  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#named(() => this.#prepare(sql).all(...values) as Row[]);
  }

  /** Turns SQLite's corruption errors into ones that name the file and the next step. */
  #named<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw isDamage(error) ? damageError(this.#path, error) : error;
    }
  }

  /** Transactions committed since it was opened. */
  get commits(): number {
    return this.#commits;
  }

  /** Copies the database into another file, in steps that let other work in between. */
  async copyTo(path: string): Promise<void> {
    await backup(this.#db, path);
  }

  /** Executes a statement; returns the number of changed rows. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return this.#named(() => Number(this.#prepare(sql).run(...values).changes));
  }

  /** Whether the last transaction found space on the disk. */
  get writable(): boolean {
    return this.#writable;
  }

  /** Runs `work` in a transaction; nested calls join the outer one. All or nothing is committed. */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    try {
      return this.#attempt(work);
    } catch (error) {
      // Deleting may need space, too: the reserve provides it, so that a full disk can be emptied again.
      if (!isFull(error)) throw error;
      this.#writable = false;
      if (!this.#reserve?.release()) throw fullDisk(error);
      try {
        return this.#attempt(work);
      } catch (again) {
        throw isFull(again) ? fullDisk(again) : again;
      }
    }
  }

  #attempt<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    this.#depth++;
    let result: T;
    try {
      result = work();
      this.#db.exec("COMMIT");
    } catch (error) {
      this.#afterCommit = [];
      this.#afterSync = [];
      try {
        this.#db.exec("ROLLBACK");
      } catch {
        // SQLite has rolled back by itself (disk full, for instance); the first error is the one that matters.
      }
      throw error;
    } finally {
      this.#depth--;
    }
    this.#writable = true;
    this.#commits++;
    const todo = this.#afterCommit;
    const later = this.#afterSync;
    this.#afterCommit = [];
    this.#afterSync = [];
    for (const action of todo) action();
    if (this.#sync !== undefined) this.#sync.committed(later);
    else for (const action of later) action();
    return result;
  }

  /** Runs `action` once the current transaction is committed (at once without one); used to send events. */
  afterCommit(action: () => void): void {
    if (this.#depth > 0) this.#afterCommit.push(action);
    else action();
  }

  /**
   * Runs `action` once the current transaction is on disk (at once without one): for removing files that a lost
   * commit would still refer to.
   */
  afterSync(action: () => void): void {
    if (this.#depth > 0) this.#afterSync.push(action);
    else action();
  }

  /** Resolves once all commits are on disk; undefined if they are. Rejects with "data_loss" if the disk fails. */
  settled(): Promise<void> | undefined {
    return this.#sync?.settled();
  }

  close(): void {
    this.#sync?.close();
    this.#reserve?.close();
    if (this.#sync !== undefined) keepLog(this.#path);
    this.#db.close();
  }
}

function isFull(error: unknown): error is Error {
  return error instanceof Error && /database or disk is full|disk I\/O error/.test(error.message);
}

function fullDisk(error: Error): BerthError {
  return new BerthError(
    "resource_exhausted",
    `the metadata database could not be written: ${error.message}`,
    {
      stage: "metadata",
      errno: "ENOSPC",
      cause: error,
      hint: "make room on the file system of the root directory",
    },
  );
}

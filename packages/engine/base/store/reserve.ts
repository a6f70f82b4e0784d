/**
 * Disk space that the metadata database holds before it needs it, so that a full disk can be emptied again and exits
 * can be recorded on one. Space that is merely freed could be taken by other processes: the reserve therefore lies
 * inside the database's files.
 *
 * - The log ("-wal") is written once to the size that SQLite lets it grow to, and overwritten from then on. SQLite
 *   removes it when the database is closed: a second hard link keeps it for the next daemon.
 * - A row of {@link Reserve} occupies pages of the database file. When a transaction finds no space, the row is
 *   deleted, and its pages are free for the database alone.
 */
import * as fs from "node:fs";
import { log } from "@berth/base";

/** SQLite checkpoints the log after 1,000 pages of 4,096 bytes; the rest is for a transaction that exceeds that. */
const LOG_BYTES = 5 << 20;
/** SQLite treats a log without its magic number as empty. */
const LOG_HEADER = 32;
/** Delay before a released reserve is taken again, in milliseconds. */
const REFILL_MS = 1000;

const logOf = (database: string) => `${database}-wal`;
const keptOf = (database: string) => `${database}.reserve`;

/** Renames a log kept by {@link keepLog} back to the database's. Call it before the database is opened. */
export function adoptLog(database: string): void {
  const kept = keptOf(database);
  if (!fs.existsSync(kept)) return;
  // A killed daemon has left its log: its contents count.
  if (fs.existsSync(logOf(database))) {
    fs.rmSync(kept);
    return;
  }
  const fd = fs.openSync(kept, "r+");
  try {
    fs.writeSync(fd, Buffer.alloc(LOG_HEADER), 0, LOG_HEADER, 0);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(kept, logOf(database));
}

/** Extends the log to its full size, or as far as a full disk permits. */
export function extendLog(database: string): void {
  let fd: number | undefined;
  try {
    fd = fs.openSync(logOf(database), "r+");
    const { size } = fs.fstatSync(fd);
    if (size < LOG_BYTES) fs.writeSync(fd, Buffer.alloc(LOG_BYTES - size), 0, LOG_BYTES - size, size);
  } catch (error) {
    log.warn("no disk space could be kept back for metadata", { path: database, error: String(error) });
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

/** Lets the log outlive the closing of the database. Call it before the database is closed. */
export function keepLog(database: string): void {
  try {
    fs.rmSync(keptOf(database), { force: true });
    fs.linkSync(logOf(database), keptOf(database));
  } catch (error) {
    log.warn("disk space for metadata could not be kept", { path: database, error: String(error) });
  }
}

/** The database's operations on its reserve row. */
export interface ReserveRow {
  /** Whether the row exists. */
  held(): boolean;
  /** Inserts it; throws if the disk is full. */
  fill(): void;
  release(): void;
}

/** A reserve that is released when space runs out and taken again later. */
export class Reserve {
  readonly #row: ReserveRow;
  #timer: NodeJS.Timeout | undefined;

  constructor(row: ReserveRow) {
    this.#row = row;
    if (!row.held()) this.#fill();
  }

  #fill(): void {
    try {
      this.#row.fill();
    } catch {
      this.#later();
    }
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fill(), REFILL_MS);
    this.#timer.unref();
  }

  /** Releases the space; false if there is none, or while it is being taken. */
  release(): boolean {
    if (!this.#row.held()) return false;
    try {
      this.#row.release();
    } catch {
      return false;
    }
    this.#later();
    return true;
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}

/**
 * Disk space that is the metadata database's before it is needed, so that a full disk can be emptied again, and what ends on
 * one is noted. Space that was set free would be somebody else's before it could be used: so it lies inside the database.
 *
 * - Its log ("-wal") is written once to the size that SQLite lets it grow to, and overwritten from then on. SQLite removes it
 *   when the database is closed: a second name keeps it for the next daemon.
 * - A row of {@link Reserve} takes pages of the database's file. When a transaction finds no room, the row goes and its pages
 *   are free for the database alone.
 */
import * as fs from "node:fs";
import { log } from "@berth/base";

/** SQLite writes the log back after 1,000 pages of 4,096 bytes; the rest is for the transaction that goes beyond. */
const LOG_BYTES = 5 << 20;
/** SQLite takes a log without its magic number for an empty one. */
const LOG_HEADER = 32;
/** How long after it was given up the reserve is taken again, in milliseconds. */
const REFILL_MS = 1000;

const logOf = (database: string) => `${database}-wal`;
const keptOf = (database: string) => `${database}.reserve`;

/** Makes the log that {@link keepLog} kept the database's again. Before the database is opened. */
export function adoptLog(database: string): void {
  const kept = keptOf(database);
  if (!fs.existsSync(kept)) return;
  // A daemon that was killed has left its log: what is in it counts.
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

/** Takes the space that the log may come to need; what there is of it on a full disk. */
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

/** Lets the log outlive the database's closing. Before the database is closed. */
export function keepLog(database: string): void {
  try {
    fs.rmSync(keptOf(database), { force: true });
    fs.linkSync(logOf(database), keptOf(database));
  } catch (error) {
    log.warn("disk space for metadata could not be kept", { path: database, error: String(error) });
  }
}

/** What the database does about its reserve. */
export interface ReserveRow {
  /** Whether it is there. */
  held(): boolean;
  /** Takes it; throws when the disk is full. */
  fill(): void;
  release(): void;
}

/** A reserve that is given up in need and taken again later. */
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

  /** Gives the space up; false when there is none, or when it takes space itself. */
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

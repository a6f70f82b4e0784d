/**
 * A backup of the metadata database beside it, made while the daemon runs: some time after its start, once an hour if
 * anything has changed, and at its end. A damaged copy never replaces the last good one.
 */
import * as fs from "node:fs";
import { log } from "@berth/base";
import { backupOf, damageOf } from "./damage.ts";
import type { Database } from "./database.ts";

/** In milliseconds. The first backup waits until the startup work is over. */
const FIRST_MS = 60_000;
const EVERY_MS = 3_600_000;

/** Schedules and makes backups. */
export class Backup {
  readonly #db: Database;
  readonly #path: string;
  #copied = -1;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(db: Database, path: string) {
    this.#db = db;
    this.#path = path;
  }

  start(): void {
    this.#next(FIRST_MS);
  }

  #next(ms: number): void {
    this.#timer = setTimeout(() => {
      void this.make();
      this.#next(EVERY_MS);
    }, ms).unref();
  }

  /** Makes a backup, unless nothing has changed since the last one. Failures are logged. */
  make(): Promise<void> {
    this.#running ??= this.#make().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #make(): Promise<void> {
    const { commits } = this.#db;
    if (commits === this.#copied || !this.#db.writable) return;
    const fresh = `${backupOf(this.#path)}.new`;
    try {
      fs.rmSync(fresh, { force: true });
      fs.closeSync(fs.openSync(fresh, "wx", 0o600));
      await this.#db.copyTo(fresh);
      const damage = damageOf(fresh);
      if (damage !== undefined) throw new Error(`${this.#path} is damaged: ${damage}`);
      const fd = fs.openSync(fresh, "r");
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      fs.renameSync(fresh, backupOf(this.#path));
      this.#copied = commits;
    } catch (error) {
      log.error("the metadata database could not be backed up", { path: this.#path, error: String(error) });
      fs.rmSync(fresh, { force: true });
    }
  }

  /** Makes the last backup. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.make();
  }
}

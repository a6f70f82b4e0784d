/**
 * A copy of the metadata database beside it, made while the daemon runs: some time after its start and once an hour when
 * something has changed, and at its end. A copy that is damaged does not take the last good one's place.
 */
import * as fs from "node:fs";
import { log } from "@berth/base";
import { backupOf, damageOf } from "./damage.ts";
import type { Database } from "./database.ts";

/** In milliseconds. The first waits until a start, with all that it has to do, is over. */
const FIRST_MS = 60_000;
const EVERY_MS = 3_600_000;

/** See the module comment. */
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

  /** Makes a copy, if anything has changed since the last one. What goes wrong is logged. */
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

  /** Makes the last one. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.make();
  }
}

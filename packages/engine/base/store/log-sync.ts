/**
 * Group commit: syncs many commits with one fdatasync(2), on a thread. The requests that made them wait, the daemon
 * does not. SQLite itself writes its log without syncing (synchronous=NORMAL), which keeps the database consistent;
 * this makes every answered request durable.
 */
import * as fs from "node:fs";
import { BerthError } from "@berth/base";

/** Syncs the database's log after commits. */
export class LogSync {
  readonly #path: string;
  #fd: number | undefined;
  #committed = 0;
  #synced = 0;
  #running: Promise<void> | undefined;
  readonly #after: { commit: number; action: () => void }[] = [];

  /** `path`: the database's log, "metadata.db-wal". */
  constructor(path: string) {
    this.#path = path;
  }

  /** Registers a committed transaction; its `actions` run once it is on disk. */
  committed(actions: readonly (() => void)[]): void {
    const commit = ++this.#committed;
    for (const action of actions) this.#after.push({ commit, action });
    if (actions.length > 0) this.settled()?.catch(() => {});
  }

  /** Resolves once all commits are on disk; undefined if they are. Rejects if the disk fails. */
  settled(): Promise<void> | undefined {
    if (this.#synced >= this.#committed) return undefined;
    this.#running ??= this.#sync().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #sync(): Promise<void> {
    // Commits made during a sync are covered by the next one.
    while (this.#synced < this.#committed) {
      const commit = this.#committed;
      this.#fd ??= fs.openSync(this.#path, "r");
      await new Promise<void>((resolve, reject) =>
        fs.fdatasync(this.#fd!, (cause) => (cause ? reject(this.#failure(cause)) : resolve())),
      );
      this.#done(commit);
    }
  }

  #done(commit: number): void {
    this.#synced = Math.max(this.#synced, commit);
    while (this.#after.length > 0 && this.#after[0]!.commit <= this.#synced) this.#after.shift()!.action();
  }

  #failure(cause: Error): BerthError {
    return new BerthError("data_loss", `the metadata database could not be written: ${cause.message}`, {
      stage: "metadata",
      path: this.#path,
      cause,
      hint: "look at the disk of the root directory",
    });
  }

  /** Syncs and runs pending actions, synchronously. */
  close(): void {
    if (this.#synced < this.#committed) {
      this.#fd ??= fs.openSync(this.#path, "r");
      fs.fdatasyncSync(this.#fd);
      this.#done(this.#committed);
    }
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }
}

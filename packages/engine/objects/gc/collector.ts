/**
 * The garbage collector: removes unreferenced objects.
 *
 * Marking and deleting rows is one transaction; files are removed after its commit, so a crash in between leaves
 * files without a row, which the next start removes.
 */
import { CONTAINERD_LABEL, LABEL } from "@berth/api";
import { log, stage } from "@berth/base";
import type { Labels } from "../../base/core/names.ts";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import { dropResource } from "../leases/rows.ts";
import { findGarbage, type Garbage, type IngestInUse } from "./garbage.ts";
import { expiry } from "./labels.ts";

/** Removes the files of deleted rows. */
export interface Sweeper {
  /** Called in the transaction; the row's files may be removed once it is committed. */
  removeContent(ns: string, digest: string): void;
  removeIngest(ns: string, ref: string): void;
  removeImage(ns: string, name: string): void;
  removeSnapshot(ns: string, snapshotter: string, name: string): void;
  removeActivation(number: number): void;
  ingestInUse: IngestInUse;
  /** Resolves when the files of deleted rows have been removed. */
  settled(): Promise<void>;
}

/** When collections run. Times are in milliseconds. */
export interface GcSchedule {
  /** Largest part of the time that collections may take; 0: unlimited. */
  pauseThreshold: number;
  /** Deletions after which a collection is due; 0 means one. */
  deletionThreshold: number;
  /** Time from when a collection is due to its start, so that a burst of deletions is collected once. */
  scheduleDelay: number;
}

const SCHEDULE: GcSchedule = { pauseThreshold: 0.02, deletionThreshold: 0, scheduleDelay: 100 };
/** The longest time without a collection. */
const INTERVAL_MS = 10 * 60_000;
/** What expires within this time of each other is collected at once. */
const EXPIRY_STEP_MS = 5_000;

/** Schedules and runs collections. */
export class Collector {
  readonly #db: Database;
  readonly #sweeper: Sweeper;
  /** The next collection, and when it is due in milliseconds since the epoch. */
  #timer: NodeJS.Timeout | undefined;
  #due = Infinity;
  #closed = false;
  readonly #plan: GcSchedule;
  /** Deletions since the last collection. */
  #deletions = 0;
  /** Before this time, no collection starts by itself. */
  #rest = 0;

  constructor(db: Database, sweeper: Sweeper, plan: GcSchedule = SCHEDULE) {
    this.#db = db;
    this.#sweeper = sweeper;
    this.#plan = plan;
  }

  /** Something was deleted: requests a collection, soon, or with `sync` before the promise resolves. */
  async request(sync: boolean): Promise<void> {
    this.#deletions++;
    if (sync) await this.run();
    else if (this.#deletions >= this.#plan.deletionThreshold)
      this.#schedule(Math.max(Date.now() + this.#plan.scheduleDelay, this.#rest));
  }

  /** Plans the first collection, in so many milliseconds. */
  start(delay: number): void {
    this.#schedule(Date.now() + delay);
  }

  /** Makes sure that what these labels hold is collected once they expire, also when nothing else happens. */
  expect(labels: Labels): void {
    const at = expiry(labels);
    if (at === undefined) return;
    const ms = Math.max(Number(at / 1_000_000n), Date.now());
    this.#schedule(Math.ceil((ms + 1) / EXPIRY_STEP_MS) * EXPIRY_STEP_MS);
  }

  /** Collects at `due`, or sooner if that is planned already. */
  #schedule(due: number): void {
    if (this.#closed || this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(
      () => {
        this.run().catch((error) => log.error("garbage collection failed", { error: String(error) }));
      },
      Math.min(due - Date.now(), INTERVAL_MS),
    );
    this.#timer.unref();
  }

  /** Collects all namespaces now; returns the number of removed objects. */
  run(): Promise<number> {
    clearTimeout(this.#timer);
    this.#due = Infinity;
    this.#deletions = 0;
    this.#schedule(Date.now() + INTERVAL_MS);
    return stage("collect garbage", {}, async () => {
      const began = performance.now();
      const removed = this.#db.transaction(() => this.#collect());
      const took = performance.now() - began;
      const { pauseThreshold } = this.#plan;
      this.#rest = pauseThreshold > 0 ? Date.now() + took / pauseThreshold - took : 0;
      this.#expectWhatIsHeld();
      await this.#sweeper.settled();
      if (removed > 0) log.debug("garbage collected", { removed });
      return removed;
    });
  }

  #collect(): number {
    const nowNs = now();
    let removed = 0;
    for (const { name } of this.#db.all("SELECT name FROM namespaces") as { name: string }[]) {
      const garbage = findGarbage(this.#db, name, nowNs, this.#sweeper.ingestInUse);
      this.#remove(name, garbage);
      for (const names of Object.values(garbage)) removed += names.length;
    }
    return removed;
  }

  #remove(ns: string, { leases, images, content, ingests, snapshots, mounts }: Garbage): void {
    const sweeper = this.#sweeper;
    for (const id of leases) this.#db.run("DELETE FROM leases WHERE ns = ? AND id = ?", ns, id);
    for (const name of images) {
      sweeper.removeImage(ns, name);
      dropResource(this.#db, ns, { type: "images", id: name });
    }
    for (const digest of content) {
      sweeper.removeContent(ns, digest);
      dropResource(this.#db, ns, { type: "content", id: digest });
    }
    for (const ref of ingests) sweeper.removeIngest(ns, ref);
    for (const { snapshotter, name } of snapshots) {
      sweeper.removeSnapshot(ns, snapshotter, name);
      dropResource(this.#db, ns, { type: `snapshots/${snapshotter}`, id: name });
    }
    for (const { number } of mounts) sweeper.removeActivation(number);
  }

  /** What a collection would remove from a namespace now. */
  garbage(ns: string): Garbage {
    return findGarbage(this.#db, ns, now(), this.#sweeper.ingestInUse);
  }

  #expectWhatIsHeld(): void {
    const nowNs = now();
    for (const table of ["leases", "images", "content", "snapshots"]) {
      const sql = `SELECT labels FROM ${table} WHERE instr(labels, ?) > 0 OR instr(labels, ?) > 0`;
      const keys = [CONTAINERD_LABEL.gcExpire, LABEL.heldUntil].map((key) => JSON.stringify(key));
      for (const { labels } of this.#db.all(sql, ...keys)) {
        const parsed = JSON.parse(labels as string) as Labels;
        // What has expired, but is kept by something else, is looked at again whenever that changes.
        if ((expiry(parsed) ?? 0n) > nowNs) this.expect(parsed);
      }
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

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
import { Graph } from "./graph.ts";
import { expiry, hasExpired } from "./labels.ts";
import { contentNode, imageNode, ingestNode, mountNode, snapshotNode } from "./nodes.ts";

/** Removes the files of deleted rows. */
export interface Sweeper {
  /** Called in the transaction; the row's files may be removed once it is committed. */
  removeContent(ns: string, digest: string): void;
  removeIngest(ns: string, ref: string): void;
  removeImage(ns: string, name: string): void;
  removeSnapshot(ns: string, snapshotter: string, name: string): void;
  removeActivation(number: number): void;
  /** Whether an ingest is open, or belongs to a write that has not expired. */
  ingestInUse(ns: string, ref: string, started: bigint): boolean;
  /** Resolves when the files of deleted rows have been removed. */
  settled(): Promise<void>;
}

/** Delay after a deletion, so that a burst of deletions is collected once. */
const DELAY_MS = 100;
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

  constructor(db: Database, sweeper: Sweeper) {
    this.#db = db;
    this.#sweeper = sweeper;
  }

  /** Requests a collection: soon, or with `sync` before the promise resolves. */
  async request(sync: boolean): Promise<void> {
    if (sync) await this.run();
    else this.#schedule(Date.now() + DELAY_MS);
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
    this.#schedule(Date.now() + INTERVAL_MS);
    return stage("collect garbage", {}, async () => {
      const removed = this.#db.transaction(() => this.#collect());
      this.#expectWhatIsHeld();
      await this.#sweeper.settled();
      if (removed > 0) log.debug("garbage collected", { removed });
      return removed;
    });
  }

  #collect(): number {
    const db = this.#db;
    const nowNs = now();
    let removed = 0;
    for (const { name } of db.all("SELECT name FROM namespaces") as { name: string }[]) {
      const kept = new Graph(db, name, nowNs).reachable();
      for (const row of db.all("SELECT id, labels FROM leases WHERE ns = ?", name))
        if (hasExpired(JSON.parse(row.labels as string), nowNs)) {
          db.run("DELETE FROM leases WHERE ns = ? AND id = ?", name, row.id as string);
          removed++;
        }
      for (const row of db.all("SELECT name, labels FROM images WHERE ns = ?", name)) {
        const image = row.name as string;
        if (!hasExpired(JSON.parse(row.labels as string), nowNs) || kept.has(imageNode(image))) continue;
        this.#sweeper.removeImage(name, image);
        dropResource(db, name, { type: "images", id: image });
        removed++;
      }
      for (const row of db.all("SELECT digest FROM content WHERE ns = ?", name)) {
        const digest = row.digest as string;
        if (kept.has(contentNode(digest))) continue;
        this.#sweeper.removeContent(name, digest);
        dropResource(db, name, { type: "content", id: digest });
        removed++;
      }
      for (const row of db.all("SELECT ref, started, leased FROM ingests WHERE ns = ?", name)) {
        const ref = row.ref as string;
        if (kept.has(ingestNode(ref))) continue;
        if (this.#sweeper.ingestInUse(name, ref, row.leased ? 0n : BigInt(row.started as string))) continue;
        this.#sweeper.removeIngest(name, ref);
        removed++;
      }
      removed += this.#sweepSnapshots(name, kept);
      // Without info it is being made.
      const made = "SELECT number, name FROM activations WHERE ns = ? AND info IS NOT NULL";
      for (const row of db.all(made, name) as { number: number; name: string }[]) {
        if (kept.has(mountNode(row.name))) continue;
        this.#sweeper.removeActivation(row.number);
        removed++;
      }
    }
    return removed;
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

  /** Children go before their parents. */
  #sweepSnapshots(ns: string, kept: ReadonlySet<string>): number {
    const rows = this.#db.all("SELECT snapshotter, name, parent FROM snapshots WHERE ns = ?", ns) as {
      snapshotter: string;
      name: string;
      parent: string;
    }[];
    const unreferenced = rows.filter((row) => !kept.has(snapshotNode(row.snapshotter, row.name)));
    const children = new Map<string, number>();
    for (const row of rows) {
      const parent = snapshotNode(row.snapshotter, row.parent);
      children.set(parent, (children.get(parent) ?? 0) + 1);
    }
    const byNode = new Map(unreferenced.map((row) => [snapshotNode(row.snapshotter, row.name), row]));
    const ready = unreferenced.filter((row) => !children.get(snapshotNode(row.snapshotter, row.name)));
    let removed = 0;
    for (let row = ready.pop(); row !== undefined; row = ready.pop()) {
      this.#sweeper.removeSnapshot(ns, row.snapshotter, row.name);
      dropResource(this.#db, ns, { type: `snapshots/${row.snapshotter}`, id: row.name });
      removed++;
      const parent = snapshotNode(row.snapshotter, row.parent);
      const left = (children.get(parent) ?? 1) - 1;
      children.set(parent, left);
      const next = byNode.get(parent);
      if (left === 0 && next !== undefined) ready.push(next);
    }
    return removed;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

/**
 * Snapshots of another program: a proxy snapshotter, reached by containerd's Snapshots service on its socket. What they are
 * called and what keeps them is in our rows, as for our own; their files and mounts are its.
 *
 * There, a snapshot is called "berth/NAMESPACE/NUMBER/NAME", as names are free in each namespace here. One that it made by
 * itself, because of the label "snapshot.ref", keeps the name that it has.
 */
import { CONTAINERD_LABEL, NAMESPACE_HEADER } from "@berth/api";
import { Snapshots } from "@berth/api/snapshots";
import { BerthError, ignoreMissing, isCode, log } from "@berth/base";
import { type Connection, connect } from "@berth/grpc/client";
import { fromMount, type Mount } from "../../base/core/wire.ts";
import type { Database } from "../../base/store/database.ts";
import { snapshotterLabels } from "./driver.ts";
import type { SnapshotRecord, Where } from "./rows.ts";

/** Time for its answer, in milliseconds: some fetch a layer meanwhile. */
const ANSWER_MS = 10 * 60_000;
/** Time for its socket to appear. */
const DIAL_MS = 3000;

/** The snapshots of one proxy snapshotter. */
export class RemoteSnapshots {
  readonly name: string;
  readonly #db: Database;
  readonly #connection: Connection;

  /** `path` is its socket. Nothing is sent before it is needed. */
  constructor(db: Database, name: string, path: string) {
    this.#db = db;
    this.name = name;
    this.#connection = connect({ path, timeoutMs: ANSWER_MS, dialTimeoutMs: DIAL_MS });
  }

  close(): void {
    this.#connection.close();
  }

  get #client() {
    return this.#connection.client(Snapshots);
  }

  #headers(ns: string) {
    return { headers: { [NAMESPACE_HEADER]: ns } };
  }

  /** Its name for a snapshot. */
  #nameOf(ns: string, { number, name }: Pick<SnapshotRecord, "number" | "name">): string {
    const own = this.#db.get("SELECT name FROM remote_snapshots WHERE number = ?", number);
    return (own?.name as string | undefined) ?? `berth/${ns}/${number}/${name}`;
  }

  /**
   * Makes a snapshot; returns its mounts. Undefined if it has made the one that the label "snapshot.ref" names instead,
   * with its name for that.
   */
  async prepare(
    ns: string,
    record: SnapshotRecord,
    parent: SnapshotRecord | undefined,
    readonly: boolean,
  ): Promise<{ mounts: Mount[] } | { made: string }> {
    const key = this.#nameOf(ns, record);
    const base = parent === undefined ? "" : this.#nameOf(ns, parent);
    const labels = snapshotterLabels(record.labels);
    const request = { snapshotter: this.name, key, parent: base, labels };
    try {
      const { mounts } = readonly
        ? await this.#client.view(request, this.#headers(ns))
        : await this.#client.prepare(request, this.#headers(ns));
      return { mounts: mounts.map(fromMount) };
    } catch (error) {
      const target = record.labels[CONTAINERD_LABEL.snapshotRef];
      if (target === undefined || !isCode(error, "already_exists")) throw error;
      const filter = `labels.${JSON.stringify(CONTAINERD_LABEL.snapshotRef)}==${JSON.stringify(target)},parent==${JSON.stringify(base)}`;
      const list = this.#client.list({ snapshotter: this.name, filters: [filter] }, this.#headers(ns));
      for await (const { info } of list) if (info[0] !== undefined) return { made: info[0].name };
      throw error;
    }
  }

  /** Remembers its name for a snapshot that it made by itself; part of a transaction. */
  adopt(record: SnapshotRecord, name: string): void {
    this.#db.run("INSERT INTO remote_snapshots (number, name) VALUES (?, ?)", record.number, name);
  }

  async mounts(ns: string, record: SnapshotRecord): Promise<Mount[]> {
    const request = { snapshotter: this.name, key: this.#nameOf(ns, record) };
    return (await this.#client.mounts(request, this.#headers(ns))).mounts.map(fromMount);
  }

  /** Commits a snapshot under the name of `committed`; again is no error, as the daemon may have been killed in between. */
  async commit(ns: string, active: SnapshotRecord, committed: SnapshotRecord): Promise<void> {
    const name = this.#nameOf(ns, committed);
    const key = this.#nameOf(ns, active);
    const request = { snapshotter: this.name, name, key, labels: snapshotterLabels(committed.labels) };
    try {
      await this.#client.commit(request, this.#headers(ns));
    } catch (error) {
      if (!isCode(error, "already_exists") && !isCode(error, "not_found")) throw error;
      await this.#client.stat({ snapshotter: this.name, key: name }, this.#headers(ns));
    }
  }

  async usage(ns: string, record: SnapshotRecord): Promise<{ size: number; inodes: number }> {
    const request = { snapshotter: this.name, key: this.#nameOf(ns, record) };
    const { size, inodes } = await this.#client.usage(request, this.#headers(ns));
    return { size: Number(size), inodes: Number(inodes) };
  }

  /** Removes a snapshot whose row is deleted in this transaction, once that is durable; a failure is made up for at start. */
  retire(ns: string, record: SnapshotRecord): void {
    const key = this.#nameOf(ns, record);
    this.#db.run("DELETE FROM remote_snapshots WHERE number = ?", record.number);
    this.#db.afterSync(() => {
      const removing = this.#remove(ns, key).finally(() => this.#removing.delete(removing));
      this.#removing.add(removing);
    });
  }

  readonly #removing = new Set<Promise<void>>();

  async #remove(ns: string, key: string): Promise<void> {
    // Children first: those before this one may be its.
    await Promise.all(this.#removing);
    try {
      await ignoreMissing(this.#client.remove({ snapshotter: this.name, key }, this.#headers(ns)));
    } catch (error) {
      log.warn("a proxy snapshotter could not remove a snapshot; the next start tries again", {
        snapshotter: this.name,
        snapshot: key,
        error: BerthError.from(error).message,
      });
    }
  }

  /** Resolves when removals have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#removing);
  }

  /** Removes snapshots of ours that have no row: a killed daemon's. */
  async cleanup(where: readonly Where[]): Promise<void> {
    for (const { ns } of where) {
      const ours: string[] = [];
      for await (const { info } of this.#client.list({ snapshotter: this.name }, this.#headers(ns)))
        for (const { name } of info) {
          const number = new RegExp(`^berth/${ns}/(\\d+)/`).exec(name)?.[1];
          if (number !== undefined && !this.#knows(Number(number))) ours.push(name);
        }
      // Children are listed after their parents.
      for (const key of ours.reverse()) await this.#remove(ns, key);
    }
    await this.#client.cleanup({ snapshotter: this.name }).catch((error) => {
      if (!isCode(error, "unimplemented")) throw error;
    });
  }

  #knows(number: number): boolean {
    return this.#db.get("SELECT 1 FROM snapshots WHERE number = ?", number) !== undefined;
  }
}

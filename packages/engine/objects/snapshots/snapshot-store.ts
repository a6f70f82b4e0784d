/**
 * Snapshots with containerd's semantics, on top of the drivers that create folders and mounts.
 *
 * Lifecycle of a snapshot: Prepare (active) -> Commit (committed, gets a new name) -> parent of others; View is a
 * read-only one. The row is written before the folder is created: after a crash in between, the next start creates
 * the folder, or removes the row.
 */

import * as fs from "node:fs";
import { CONTAINERD_LABEL, eventTypes } from "@berth/api";
import { BerthError, log } from "@berth/base";
import { isLabelPath, mergeLabels, notUpdatable } from "../../base/core/mask.ts";
import { checkLabels, type Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import type { Mount } from "../../base/core/wire.ts";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { Database } from "../../base/store/database.ts";
import { dropResource, holdInScope } from "../leases/rows.ts";
import { type CommitRequest, commitOf } from "./commit.ts";
import type { SnapshotDriver } from "./driver.ts";
import { lossOf } from "./loss.ts";
import type { RemoteSnapshots } from "./remote.ts";
import * as store from "./rows.ts";
import { diskUsage } from "./usage.ts";

/** Snapshots of all namespaces and snapshotters. */
export class SnapshotStore {
  readonly #db: Database;
  readonly #events: EventBus;
  readonly #drivers: ReadonlyMap<string, SnapshotDriver>;
  readonly #remotes: ReadonlyMap<string, RemoteSnapshots>;

  constructor(
    db: Database,
    events: EventBus,
    drivers: readonly SnapshotDriver[],
    remotes: readonly RemoteSnapshots[] = [],
  ) {
    this.#db = db;
    this.#events = events;
    this.#drivers = new Map(drivers.map((driver) => [driver.name, driver]));
    this.#remotes = new Map(remotes.map((remote) => [remote.name, remote]));
  }

  /** The drivers; the default is first. */
  get drivers(): SnapshotDriver[] {
    return [...this.#drivers.values()];
  }

  /** Name of the first driver that works here. */
  get defaultName(): string {
    const usable = this.drivers.find((driver) => driver.unusable === undefined);
    return usable?.name ?? [...this.#remotes.keys()][0] ?? "overlayfs";
  }

  /** The snapshotter, or another program in its place; an error if there is none, or it cannot be used. */
  snapshotter(name: string): SnapshotDriver | RemoteSnapshots {
    return this.#remotes.get(name) ?? this.driver(name);
  }

  /** The snapshotter of that name, whose files are in folders of ours. */
  driver(name: string): SnapshotDriver {
    const driver = this.#drivers.get(name);
    if (driver === undefined)
      throw new BerthError("invalid_argument", `snapshotter not loaded: ${name}: invalid argument`, {
        hint: `use one of ${[...this.#drivers.keys(), ...this.#remotes.keys()].join(", ")}`,
      });
    if (driver.unusable !== undefined)
      throw new BerthError("unavailable", `snapshotter ${name} cannot be used: ${driver.unusable}`);
    return driver;
  }

  /** Removes folders without a row (in the background), and rows of unfinished snapshots without a folder. */
  cleanup(): void {
    for (const driver of this.drivers) {
      if (driver.unusable !== undefined) continue;
      const rows = this.#db.all(
        "SELECT number, ns, name, kind, parent FROM snapshots WHERE snapshotter = ?",
        driver.name,
      );
      const known = new Set<number>();
      for (const row of rows) {
        const number = Number(row.number);
        known.add(number);
        const shared = Number(row.kind) === store.VIEW && row.parent !== "";
        if (fs.existsSync(driver.folder(number)) || (shared && driver.name !== "overlayfs")) continue;
        log.warn("a snapshot has no files; forgetting it", { snapshot: String(row.name) });
        if (Number(row.kind) !== store.COMMITTED)
          this.#db.transaction(() => this.#db.run("DELETE FROM snapshots WHERE number = ?", number));
      }
      driver.retireUnknown(known);
      void this.#purge(driver);
    }
    for (const remote of this.#remotes.values()) void this.#cleanupRemote(remote);
  }

  async #cleanupRemote(remote: RemoteSnapshots): Promise<void> {
    const rows = this.#db.all("SELECT name FROM namespaces");
    try {
      await remote.cleanup(rows.map((row) => ({ ns: row.name as string, snapshotter: remote.name })));
    } catch (error) {
      const { message } = BerthError.from(error);
      log.warn("a proxy snapshotter could not be cleaned up", { snapshotter: remote.name, error: message });
    }
  }

  stat(where: store.Where, name: string): store.SnapshotRecord {
    this.snapshotter(where.snapshotter);
    return this.#shown(where, store.getSnapshot(this.#db, where, name));
  }

  find(where: store.Where, name: string): store.SnapshotRecord | undefined {
    return store.findSnapshot(this.#db, where, name);
  }

  list(where: store.Where): store.SnapshotRecord[] {
    this.snapshotter(where.snapshotter);
    return store.listSnapshots(this.#db, where).map((found) => this.#shown(where, found));
  }

  /** Creates a writable snapshot (or, with kind VIEW, a read-only one); returns its mounts. */
  async prepare(
    scope: Scope,
    snapshotter: string,
    wanted: { key: string; parent: string; labels: Labels; kind: typeof store.VIEW | typeof store.ACTIVE },
  ): Promise<Mount[]> {
    this.snapshotter(snapshotter);
    const { key, parent, labels, kind } = wanted;
    const where = { ns: scope.namespace, snapshotter };
    if (key === "")
      throw new BerthError("invalid_argument", "snapshot key must not be empty: invalid argument");
    checkLabels(labels);
    const made = this.#db.transaction(() => {
      const target = labels[CONTAINERD_LABEL.snapshotRef];
      // Lets a client skip the download of an existing layer: the name it would be committed as is taken.
      if (target !== undefined && this.#holdExisting(scope, where, target))
        return `target snapshot ${JSON.stringify(target)}`;
      if (this.#holdExisting(scope, where, key)) return `snapshot ${JSON.stringify(key)}`;
      if (parent !== "") {
        const found = store.findSnapshot(this.#db, where, parent);
        if (found === undefined)
          throw new BerthError("not_found", `parent snapshot ${parent} does not exist: not found`);
        if (found.kind !== store.COMMITTED)
          throw new BerthError(
            "invalid_argument",
            `parent ${JSON.stringify(parent)} is not committed snapshot: invalid argument`,
          );
      }
      const record = store.insertSnapshot(this.#db, where, {
        name: key,
        parent,
        kind,
        labels,
        created: String(now()),
      });
      holdInScope(this.#db, scope, { type: `snapshots/${snapshotter}`, id: key });
      return record;
    });
    if (typeof made === "string") throw new BerthError("already_exists", `${made}: already exists`);
    const readonly = kind === store.VIEW;
    let mounts: Mount[];
    try {
      mounts = await this.#make(scope, where, made, readonly);
    } catch (error) {
      if (this.find(where, key) !== undefined) this.#db.transaction(() => this.removeRow(where, key));
      throw (parent === "" ? undefined : this.lossOf(where, parent)) ?? error;
    }
    if (!readonly)
      this.#events.emit(scope.namespace, "/snapshot/prepare", eventTypes.SnapshotPrepareSchema, {
        key,
        parent,
        snapshotter,
      });
    return mounts;
  }

  async #make(
    scope: Scope,
    where: store.Where,
    record: store.SnapshotRecord,
    readonly: boolean,
  ): Promise<Mount[]> {
    const { number, name, parent } = record;
    const remote = this.#remotes.get(where.snapshotter);
    if (remote === undefined) {
      const parents = this.#parents(where, parent);
      const driver = this.driver(where.snapshotter);
      await driver.prepare(number, parents, readonly);
      return driver.mounts(number, parents, readonly);
    }
    const base = parent === "" ? undefined : store.getSnapshot(this.#db, where, parent);
    const made = await remote.prepare(where.ns, record, base, readonly);
    if ("mounts" in made) return made.mounts;
    // It has what the client was going to make: the client goes on with that.
    const target = record.labels[CONTAINERD_LABEL.snapshotRef]!;
    this.#db.transaction(() => {
      this.removeRow(where, name);
      const { labels, created } = record;
      const kind = store.COMMITTED;
      remote.adopt(
        store.insertSnapshot(this.#db, where, { name: target, parent, kind, labels, created }),
        made.made,
      );
      this.#holdExisting(scope, where, target);
    });
    throw new BerthError("already_exists", `target snapshot ${JSON.stringify(target)}: already exists`);
  }

  #parents(where: store.Where, parent: string): number[] {
    return store.ancestors(this.#db, where, parent).map((s) => s.number);
  }

  /**
   * Part of a transaction: whether there is a snapshot, which the call's lease then holds: clients go on with it after
   * "already_exists".
   */
  #holdExisting(scope: Scope, where: store.Where, name: string): boolean {
    if (store.findSnapshot(this.#db, where, name) === undefined) return false;
    holdInScope(this.#db, scope, { type: `snapshots/${where.snapshotter}`, id: name });
    return true;
  }

  /** Adds an existing snapshot to the call's lease. */
  hold(scope: Scope, snapshotter: string, name: string): void {
    this.#db.transaction(() => holdInScope(this.#db, scope, { type: `snapshots/${snapshotter}`, id: name }));
  }

  /** Folder of a snapshot's own files. */
  folder(where: store.Where, key: string): string {
    return this.driver(where.snapshotter).folder(store.getSnapshot(this.#db, where, key).number);
  }

  async mounts(where: store.Where, key: string): Promise<Mount[]> {
    this.snapshotter(where.snapshotter);
    const found = store.getSnapshot(this.#db, where, key);
    if (found.kind === store.COMMITTED)
      throw new BerthError(
        "failed_precondition",
        `snapshot ${key} is committed and cannot be mounted: failed precondition`,
      );
    const remote = this.#remotes.get(where.snapshotter);
    if (remote !== undefined) return remote.mounts(where.ns, found);
    const parents = this.#parents(where, found.parent);
    return this.driver(where.snapshotter).mounts(found.number, parents, found.kind === store.VIEW);
  }

  /** The error for a snapshot with missing files, its own or a parent's; undefined if all exist. See {@link lossOf}. */
  lossOf(where: store.Where, key: string): BerthError | undefined {
    const driver = this.#drivers.get(where.snapshotter);
    return driver === undefined ? undefined : lossOf(this.#db, driver, where, key);
  }

  /** Commits an active snapshot under a new name; `parent` gives it another parent. */
  async commit(scope: Scope, snapshotter: string, wanted: CommitRequest): Promise<void> {
    this.snapshotter(snapshotter);
    const { name, labels } = wanted;
    const where = { ns: scope.namespace, snapshotter };
    checkLabels(labels);
    const remote = this.#remotes.get(snapshotter);
    if (remote !== undefined) await this.#commitRemote(remote, where, wanted);
    const exists = this.#db.transaction(() => {
      if (this.#holdExisting(scope, where, name)) return true;
      const { active, committed } = commitOf(this.#db, where, wanted);
      store.saveSnapshot(this.#db, committed);
      dropResource(this.#db, where.ns, { type: `snapshots/${snapshotter}`, id: active.name });
      holdInScope(this.#db, scope, { type: `snapshots/${snapshotter}`, id: name });
      this.#db.afterCommit(() =>
        this.#events.emit(scope.namespace, "/snapshot/commit", eventTypes.SnapshotCommitSchema, {
          key: active.name,
          name,
          snapshotter,
        }),
      );
      return false;
    });
    if (exists) throw new BerthError("already_exists", `snapshot ${JSON.stringify(name)}: already exists`);
  }

  async #commitRemote(remote: RemoteSnapshots, where: store.Where, wanted: CommitRequest): Promise<void> {
    if (this.find(where, wanted.name) !== undefined) return;
    const { active, committed } = commitOf(this.#db, where, wanted);
    if (committed.parent !== active.parent)
      throw new BerthError(
        "unimplemented",
        `snapshot ${active.name}: a proxy snapshotter cannot give it another parent: not implemented`,
      );
    await remote.commit(where.ns, active, committed);
  }

  /** Removes a snapshot; "failed_precondition" while it has children. */
  remove(where: store.Where, key: string): void {
    this.snapshotter(where.snapshotter);
    this.#db.transaction(() => {
      store.getSnapshot(this.#db, where, key);
      if (store.hasChildren(this.#db, where, key))
        throw new BerthError("failed_precondition", "cannot remove snapshot with child: failed precondition");
      this.removeRow(where, key);
      this.#db.afterCommit(() =>
        this.#events.emit(where.ns, "/snapshot/remove", eventTypes.SnapshotRemoveSchema, {
          key,
          snapshotter: where.snapshotter,
        }),
      );
    });
  }

  /** Part of a transaction: removes the row now, and the folder after the commit, in the background. */
  removeRow(where: store.Where, key: string): void {
    const found = store.getSnapshot(this.#db, where, key);
    this.#db.run("DELETE FROM snapshots WHERE number = ?", found.number);
    dropResource(this.#db, where.ns, { type: `snapshots/${where.snapshotter}`, id: key });
    const remote = this.#remotes.get(where.snapshotter);
    if (remote !== undefined) {
      remote.retire(where.ns, found);
      return;
    }
    this.#db.afterSync(() => {
      const driver = this.#drivers.get(where.snapshotter);
      if (driver === undefined) return;
      try {
        driver.retire(found.number);
      } catch (error) {
        log.warn("a snapshot's folder could not be moved away", { snapshot: key, error: String(error) });
      }
      void this.#purge(driver);
    });
  }

  async #purge(driver: SnapshotDriver): Promise<void> {
    try {
      await driver.purge();
    } catch (error) {
      log.warn("a snapshot's files could not be removed; the next start tries again", {
        error: String(error),
      });
    }
  }

  /** Resolves when the files of removed snapshots are gone. */
  async settled(): Promise<void> {
    const usable = this.drivers.filter((driver) => driver.unusable === undefined);
    const remotes = [...this.#remotes.values()];
    await Promise.all([
      ...usable.map((driver) => this.#purge(driver)),
      ...remotes.map((each) => each.settled()),
    ]);
  }

  update(
    where: store.Where,
    name: string,
    wanted: Labels,
    paths: readonly string[] | undefined,
  ): store.SnapshotRecord {
    return this.#db.transaction(() => {
      this.snapshotter(where.snapshotter);
      const found = store.getSnapshot(this.#db, where, name);
      let { labels } = found;
      for (const path of paths ?? ["labels"]) {
        if (!isLabelPath(path)) throw notUpdatable(path, "a snapshot");
        labels = mergeLabels(path, labels, wanted);
      }
      checkLabels(labels);
      const next = { ...found, labels, updated: String(now()) };
      store.saveSnapshot(this.#db, next);
      return this.#shown(where, next);
    });
  }

  /** Bytes and inodes on disk; a committed snapshot is counted only once. */
  async usage(where: store.Where, name: string): Promise<{ size: number; inodes: number }> {
    const found = this.stat(where, name);
    if (found.usage !== undefined) return found.usage;
    const remote = this.#remotes.get(where.snapshotter);
    if (remote !== undefined) return remote.usage(where.ns, found);
    const driver = this.driver(where.snapshotter);
    const folder = driver.folder(found.number);
    const [parent] = driver.clones ? this.#parents(where, found.parent) : [];
    const original = parent === undefined ? undefined : driver.folder(parent);
    // A view has no files of its own; its folder, if any, is its driver's business.
    const usage =
      found.kind !== store.VIEW && fs.existsSync(folder)
        ? await diskUsage(folder, original)
        : { size: 0, inodes: 0 };
    if (found.kind === store.COMMITTED)
      this.#db.transaction(() => {
        const still = store.findSnapshot(this.#db, where, name);
        if (still !== undefined) store.saveSnapshot(this.#db, { ...still, usage });
      });
    return usage;
  }

  /** A record as clients see it. */
  #shown({ snapshotter }: store.Where, record: store.SnapshotRecord): store.SnapshotRecord {
    const more = this.#drivers.get(snapshotter)?.labelsOf?.(record.number);
    return more === undefined ? record : { ...record, labels: { ...record.labels, ...more } };
  }
}

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
import type { SnapshotDriver } from "./driver.ts";
import * as store from "./rows.ts";
import { diskUsage } from "./usage.ts";

/** Snapshots of all namespaces and snapshotters. */
export class SnapshotStore {
  readonly #db: Database;
  readonly #events: EventBus;
  readonly #drivers: ReadonlyMap<string, SnapshotDriver>;

  constructor(db: Database, events: EventBus, drivers: readonly SnapshotDriver[]) {
    this.#db = db;
    this.#events = events;
    this.#drivers = new Map(drivers.map((driver) => [driver.name, driver]));
  }

  /** The drivers; the default is first. */
  get drivers(): SnapshotDriver[] {
    return [...this.#drivers.values()];
  }

  /** Name of the first driver that works here. */
  get defaultName(): string {
    return (this.drivers.find((driver) => driver.unusable === undefined) ?? this.drivers[0]!).name;
  }

  driver(name: string): SnapshotDriver {
    const driver = this.#drivers.get(name);
    if (driver === undefined)
      throw new BerthError("invalid_argument", `snapshotter not loaded: ${name}: invalid argument`, {
        hint: `use one of ${[...this.#drivers.keys()].join(", ")}`,
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
        if (fs.existsSync(driver.folder(number)) || (shared && driver.name === "native")) continue;
        log.warn("a snapshot has no files; forgetting it", { snapshot: String(row.name) });
        if (Number(row.kind) !== store.COMMITTED)
          this.#db.transaction(() => this.#db.run("DELETE FROM snapshots WHERE number = ?", number));
      }
      driver.retireUnknown(known);
      void this.#purge(driver);
    }
  }

  stat(where: store.Where, name: string): store.SnapshotRecord {
    const driver = this.driver(where.snapshotter);
    return shown(driver, store.getSnapshot(this.#db, where, name));
  }

  find(where: store.Where, name: string): store.SnapshotRecord | undefined {
    return store.findSnapshot(this.#db, where, name);
  }

  list(where: store.Where): store.SnapshotRecord[] {
    const driver = this.driver(where.snapshotter);
    return store.listSnapshots(this.#db, where).map((found) => shown(driver, found));
  }

  /** Creates a writable snapshot (or, with kind VIEW, a read-only one); returns its mounts. */
  async prepare(
    scope: Scope,
    snapshotter: string,
    wanted: { key: string; parent: string; labels: Labels; kind: typeof store.VIEW | typeof store.ACTIVE },
  ): Promise<Mount[]> {
    const driver = this.driver(snapshotter);
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
      return { record, parents: this.#parents(where, parent) };
    });
    if (typeof made === "string") throw new BerthError("already_exists", `${made}: already exists`);
    const readonly = kind === store.VIEW;
    try {
      await driver.prepare(made.record.number, made.parents, readonly);
    } catch (error) {
      this.#db.transaction(() => this.removeRow(where, key));
      throw (parent === "" ? undefined : this.lossOf(where, parent)) ?? error;
    }
    if (!readonly)
      this.#events.emit(scope.namespace, "/snapshot/prepare", eventTypes.SnapshotPrepareSchema, {
        key,
        parent,
        snapshotter,
      });
    return driver.mounts(made.record.number, made.parents, readonly);
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

  mounts(where: store.Where, key: string): Mount[] {
    const driver = this.driver(where.snapshotter);
    const found = store.getSnapshot(this.#db, where, key);
    if (found.kind === store.COMMITTED)
      throw new BerthError(
        "failed_precondition",
        `snapshot ${key} is committed and cannot be mounted: failed precondition`,
      );
    return driver.mounts(found.number, this.#parents(where, found.parent), found.kind === store.VIEW);
  }

  /**
   * The error for a snapshot with missing files, its own or a parent's; undefined if all exist. For use after a
   * failure: the check costs a call per layer.
   */
  lossOf(where: store.Where, key: string): BerthError | undefined {
    const driver = this.#drivers.get(where.snapshotter);
    if (driver === undefined || this.find(where, key) === undefined) return undefined;
    for (const { name, number, kind, parent } of store.ancestors(this.#db, where, key)) {
      const folder = driver.folder(number);
      // A view of the native snapshotter has no files of its own.
      if (fs.existsSync(folder) || (kind === store.VIEW && parent !== "")) continue;
      return new BerthError("data_loss", `snapshot ${name} has lost its files: ${folder} is gone`, {
        stage: "snapshot",
        path: folder,
        errno: "ENOENT",
        hint:
          kind === store.COMMITTED
            ? "it is a layer of an image: remove the containers and the image (berth rm, berth rmi), and pull it again"
            : "what the container wrote is lost: remove it (berth rm) and make it again",
      });
    }
    return undefined;
  }

  /** Commits an active snapshot under a new name; `parent` gives it another parent. */
  async commit(
    scope: Scope,
    snapshotter: string,
    wanted: {
      name: string;
      key: string;
      labels: Labels;
      parent?: string;
      usage?: { size: number; inodes: number };
    },
  ): Promise<void> {
    this.driver(snapshotter);
    const { name, key, labels } = wanted;
    const where = { ns: scope.namespace, snapshotter };
    checkLabels(labels);
    const exists = this.#db.transaction(() => {
      if (this.#holdExisting(scope, where, name)) return true;
      const active = store.getSnapshot(this.#db, where, key);
      if (active.kind !== store.ACTIVE)
        throw new BerthError("failed_precondition", `snapshot ${key} is not active: failed precondition`);
      if (name === "")
        throw new BerthError("invalid_argument", "snapshot name must not be empty: invalid argument");
      const parent = wanted.parent || active.parent;
      if (parent !== active.parent) {
        const found = store.getSnapshot(this.#db, where, parent);
        if (found.kind !== store.COMMITTED || active.parent !== "")
          throw new BerthError(
            "invalid_argument",
            `snapshot ${key} cannot get parent ${parent}: invalid argument`,
          );
      }
      const at = String(now());
      const inherited = Object.fromEntries(
        Object.entries(active.labels).filter(([label]) => label.startsWith(CONTAINERD_LABEL.snapshot)),
      );
      store.saveSnapshot(this.#db, {
        ...active,
        name,
        parent,
        kind: store.COMMITTED,
        labels: { ...inherited, ...labels },
        created: at,
        updated: at,
        usage: wanted.usage,
      });
      dropResource(this.#db, where.ns, { type: `snapshots/${snapshotter}`, id: key });
      holdInScope(this.#db, scope, { type: `snapshots/${snapshotter}`, id: name });
      this.#db.afterCommit(() =>
        this.#events.emit(scope.namespace, "/snapshot/commit", eventTypes.SnapshotCommitSchema, {
          key,
          name,
          snapshotter,
        }),
      );
      return false;
    });
    if (exists) throw new BerthError("already_exists", `snapshot ${JSON.stringify(name)}: already exists`);
  }

  /** Removes a snapshot; "failed_precondition" while it has children. */
  remove(where: store.Where, key: string): void {
    this.driver(where.snapshotter);
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
    await Promise.all(usable.map((driver) => this.#purge(driver)));
  }

  update(
    where: store.Where,
    name: string,
    wanted: Labels,
    paths: readonly string[] | undefined,
  ): store.SnapshotRecord {
    return this.#db.transaction(() => {
      const driver = this.driver(where.snapshotter);
      const found = store.getSnapshot(this.#db, where, name);
      let { labels } = found;
      for (const path of paths ?? ["labels"]) {
        if (!isLabelPath(path)) throw notUpdatable(path, "a snapshot");
        labels = mergeLabels(path, labels, wanted);
      }
      checkLabels(labels);
      const next = { ...found, labels, updated: String(now()) };
      store.saveSnapshot(this.#db, next);
      return shown(driver, next);
    });
  }

  /** Bytes and inodes on disk; a committed snapshot is counted only once. */
  async usage(where: store.Where, name: string): Promise<{ size: number; inodes: number }> {
    const found = this.stat(where, name);
    if (found.usage !== undefined) return found.usage;
    const folder = this.driver(where.snapshotter).folder(found.number);
    // A view has no files of its own; its folder, if any, is its driver's business.
    const usage =
      found.kind !== store.VIEW && fs.existsSync(folder) ? await diskUsage(folder) : { size: 0, inodes: 0 };
    if (found.kind === store.COMMITTED)
      this.#db.transaction(() => {
        const still = store.findSnapshot(this.#db, where, name);
        if (still !== undefined) store.saveSnapshot(this.#db, { ...still, usage });
      });
    return usage;
  }
}

/** A record as clients see it. */
function shown(driver: SnapshotDriver, record: store.SnapshotRecord): store.SnapshotRecord {
  const more = driver.labelsOf?.(record.number);
  return more === undefined ? record : { ...record, labels: { ...record.labels, ...more } };
}

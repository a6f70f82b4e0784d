/** The container store: records of containers; their processes are tasks. */
import { containers, eventTypes, LABEL, timestamp } from "@berth/api";
import { BerthError, isCode, log } from "@berth/base";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { isLabelPath, mergeLabels, notUpdatable } from "../../base/core/mask.ts";
import { checkIdentifier, checkLabels, type Labels } from "../../base/core/names.ts";
import { now } from "../../base/core/time.ts";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { Database } from "../../base/store/database.ts";
import { Remembered } from "../../base/store/remembered.ts";
import { ensureNamespace } from "../namespaces/rows.ts";

/** Delay before labels that a full disk rejected are written again, in milliseconds. */
const RETRY_MS = 1000;

/** Records that are remembered from one list to the next. */
const MAX_LISTED = 4000;

/** A stored container: the wire's message. */
export type ContainerRecord = containers.Container;

/** Containers of all namespaces. */
export class ContainerStore {
  readonly #db: Database;
  readonly #events: EventBus;
  /** Labels that a full disk kept from being written, by "namespace/id"; "" removes one. */
  readonly #unwritten = new Map<string, { ns: string; id: string; labels: Labels }>();
  #retry: NodeJS.Timeout | undefined;
  /** What was listed, by "namespace/id". */
  readonly #listed = new Remembered<Uint8Array, ContainerRecord>(
    MAX_LISTED,
    (a, b) => Buffer.compare(a, b) === 0,
  );

  constructor(db: Database, events: EventBus) {
    this.#db = db;
    this.#events = events;
  }

  find(ns: string, id: string): ContainerRecord | undefined {
    const row = this.#db.get("SELECT record FROM containers WHERE ns = ? AND id = ?", ns, id);
    return row === undefined ? undefined : this.#read(ns, row.record as Uint8Array);
  }

  /** A stored record with its unwritten labels applied. */
  #read(ns: string, bytes: Uint8Array): ContainerRecord {
    const record = fromBinary(containers.ContainerSchema, bytes);
    const unwritten = this.#unwritten.size === 0 ? undefined : this.#unwritten.get(`${ns}/${record.id}`);
    if (unwritten !== undefined) setLabels(record, unwritten.labels);
    return record;
  }

  get(ns: string, id: string): ContainerRecord {
    const found = this.find(ns, id);
    if (found === undefined)
      throw new BerthError(
        "not_found",
        `container ${JSON.stringify(id)} in namespace ${JSON.stringify(ns)}: not found`,
      );
    return found;
  }

  /** The records of all containers of a namespace in their binary form, as they are sent. */
  encoded(ns: string): Uint8Array[] {
    if (this.#unwritten.size > 0)
      return this.list(ns).map((record) => toBinary(containers.ContainerSchema, record));
    return this.#db
      .all("SELECT record FROM containers WHERE ns = ? ORDER BY id", ns)
      .map((row) => row.record as Uint8Array);
  }

  /** Ids of all containers of a namespace. */
  ids(ns: string): string[] {
    return this.#db.all("SELECT id FROM containers WHERE ns = ?", ns).map((row) => row.id as string);
  }

  /** All containers of a namespace. A record that has not changed is the same as in the last list: leave it as it is. */
  list(ns: string): ContainerRecord[] {
    return this.#db
      .all("SELECT id, record FROM containers WHERE ns = ? ORDER BY id", ns)
      .map((row) => this.#known(ns, row.id as string, row.record as Uint8Array));
  }

  #known(ns: string, id: string, bytes: Uint8Array): ContainerRecord {
    if (this.#unwritten.size > 0) return this.#read(ns, bytes);
    return this.#listed.get(`${ns}/${id}`, bytes, () => this.#read(ns, bytes));
  }

  /** Two containers of a namespace never share the name that `berth` gave them, even in a race. */
  #checkName(ns: string, record: ContainerRecord): void {
    const name = record.labels[LABEL.name];
    if (name === undefined) return;
    // Encoded records with the label contain the name: only a few have to be decoded.
    const sql =
      "SELECT record FROM containers WHERE ns = ? AND id <> ? AND instr(record, CAST(? AS BLOB)) > 0";
    for (const row of this.#db.all(sql, ns, record.id, name)) {
      const other = fromBinary(containers.ContainerSchema, row.record as Uint8Array);
      if (other.labels[LABEL.name] !== name) continue;
      throw new BerthError(
        "already_exists",
        `the name ${JSON.stringify(name)} is in use by container ${other.id}: already exists`,
        { hint: "remove that container, or take another name" },
      );
    }
  }

  create(ns: string, wanted: ContainerRecord): ContainerRecord {
    check(wanted);
    const at = timestamp(now());
    const record = create(containers.ContainerSchema, { ...init(wanted), createdAt: at, updatedAt: at });
    this.#db.transaction(() => {
      ensureNamespace(this.#db, ns);
      this.#checkName(ns, record);
      const sql = "INSERT OR IGNORE INTO containers (ns, id, record) VALUES (?, ?, ?)";
      if (this.#db.run(sql, ns, record.id, toBinary(containers.ContainerSchema, record)) === 0)
        throw new BerthError("already_exists", `container ${JSON.stringify(record.id)}: already exists`);
      this.#db.afterCommit(() =>
        this.#events.emit(ns, "/containers/create", eventTypes.ContainerCreateSchema, {
          id: record.id,
          image: record.image,
          ...(record.runtime === undefined
            ? {}
            : {
                runtime: {
                  name: record.runtime.name,
                  ...(record.runtime.options ? { options: record.runtime.options } : {}),
                },
              }),
        }),
      );
    });
    return record;
  }

  /** Updates the fields in `paths`; without paths, all mutable fields are replaced. */
  update(ns: string, wanted: ContainerRecord, paths: readonly string[] | undefined): ContainerRecord {
    if (wanted.id === "")
      throw new BerthError("invalid_argument", "must specify a container id: invalid argument");
    return this.#db.transaction(() => {
      const next = this.get(ns, wanted.id);
      const { runtime, snapshotter } = next;
      for (const path of paths ?? ["labels", "spec", "extensions", "image", "snapshotkey"]) {
        if (isLabelPath(path)) next.labels = mergeLabels(path, next.labels, wanted.labels);
        else if (path === "extensions") next.extensions = wanted.extensions;
        else if (path.startsWith("extensions.")) {
          const key = path.slice("extensions.".length);
          const value = wanted.extensions[key];
          if (value === undefined) delete next.extensions[key];
          else next.extensions[key] = value;
        } else if (path === "spec") {
          if (wanted.spec === undefined) delete next.spec;
          else next.spec = wanted.spec;
        } else if (path === "snapshotkey" || path === "snapshot_key" || path === "snapshotKey") {
          next.snapshotKey = wanted.snapshotKey;
        } else if (path === "image") next.image = wanted.image;
        else throw notUpdatable(path, "a container");
      }
      if (paths === undefined && wanted.snapshotter !== "" && wanted.snapshotter !== snapshotter)
        throw new BerthError(
          "invalid_argument",
          "container.Snapshotter field is immutable: invalid argument",
        );
      if (paths === undefined && wanted.runtime !== undefined && wanted.runtime.name !== runtime?.name)
        throw new BerthError(
          "invalid_argument",
          "container.Runtime.Name field is immutable: invalid argument",
        );
      check(next);
      this.#checkName(ns, next);
      return this.#save(ns, next, true);
    });
  }

  /**
   * Sets labels without an event; an empty value removes one. For the daemon's own notes: if the disk is full, they
   * are kept in memory and written later.
   */
  note(ns: string, id: string, labels: Labels): void {
    try {
      this.#write(ns, id, labels);
    } catch (error) {
      if (!isCode(error, "resource_exhausted")) throw error;
      const key = `${ns}/${id}`;
      if (!this.#unwritten.has(key))
        log.warn("the disk is full: what became of a container is written later", { container: id });
      this.#unwritten.set(key, { ns, id, labels: { ...this.#unwritten.get(key)?.labels, ...labels } });
      this.#writeSoon();
    }
  }

  /** Writes the unwritten labels of a container; "resource_exhausted" if the disk is still full. */
  settle(ns: string, id: string): void {
    if (this.#unwritten.has(`${ns}/${id}`)) this.#write(ns, id, {});
  }

  #write(ns: string, id: string, labels: Labels): void {
    this.#db.transaction(() => {
      const found = this.find(ns, id);
      if (found === undefined) return;
      setLabels(found, labels);
      this.#save(ns, found, false);
    });
  }

  #writeSoon(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      for (const { ns, id } of [...this.#unwritten.values()]) this.note(ns, id, {});
    }, RETRY_MS).unref();
  }

  #save(ns: string, record: ContainerRecord, announce: boolean): ContainerRecord {
    record.updatedAt = timestamp(now());
    const sql = "UPDATE containers SET record = ? WHERE ns = ? AND id = ?";
    this.#db.run(sql, toBinary(containers.ContainerSchema, record), ns, record.id);
    this.#db.afterCommit(() => this.#unwritten.delete(`${ns}/${record.id}`));
    if (announce)
      this.#db.afterCommit(() =>
        this.#events.emit(ns, "/containers/update", eventTypes.ContainerUpdateSchema, {
          id: record.id,
          image: record.image,
          labels: record.labels,
          snapshotKey: record.snapshotKey,
        }),
      );
    return record;
  }

  delete(ns: string, id: string): void {
    this.#db.transaction(() => {
      this.get(ns, id);
      this.#db.run("DELETE FROM containers WHERE ns = ? AND id = ?", ns, id);
      this.#db.afterCommit(() => {
        this.#unwritten.delete(`${ns}/${id}`);
        this.#events.emit(ns, "/containers/delete", eventTypes.ContainerDeleteSchema, { id });
      });
    });
  }
}

function setLabels(record: ContainerRecord, labels: Labels): void {
  for (const [key, value] of Object.entries(labels))
    if (value === "") delete record.labels[key];
    else record.labels[key] = value;
}

/** A message's fields without its type tag, for initialising another one. */
function init({
  $typeName: _,
  ...fields
}: ContainerRecord): MessageInitShape<typeof containers.ContainerSchema> {
  return fields;
}

function check(record: ContainerRecord): void {
  const refuse = (why: string) => new BerthError("invalid_argument", `${why}: invalid argument`);
  checkIdentifier(record.id, "container.ID");
  checkLabels(record.labels);
  if (!record.runtime?.name) throw refuse("container.Runtime.Name must be set");
  if (record.spec === undefined) throw refuse("container.Spec must be set");
  if (record.snapshotKey !== "" && record.snapshotter === "")
    throw refuse("container.Snapshotter must be set if container.SnapshotKey is set");
  for (const [key, value] of Object.entries(record.extensions))
    if (key === "" || value.typeUrl === "")
      throw refuse(`extension ${JSON.stringify(key)} must have a name and a type`);
}

/** Snapshot rows. */
import { BerthError } from "@berth/base";
import type { Labels } from "../../base/core/names.ts";
import type { Database, Row } from "../../base/store/database.ts";
import { ensureNamespace } from "../namespaces/rows.ts";

/** Snapshot kinds, by the wire's numbers. */
export const VIEW = 1;
export const ACTIVE = 2;
export const COMMITTED = 3;

/** A snapshot; `number` names its folder. */
export interface SnapshotRecord {
  number: number;
  name: string;
  parent: string;
  kind: typeof VIEW | typeof ACTIVE | typeof COMMITTED;
  labels: Labels;
  created: string;
  updated: string;
  /** Bytes and inodes on disk, once counted. */
  usage: { size: number; inodes: number } | undefined;
}

/** The scope of a query: a snapshotter in a namespace. */
export interface Where {
  ns: string;
  snapshotter: string;
}

function record(row: Row): SnapshotRecord {
  return {
    number: Number(row.number),
    name: row.name as string,
    parent: row.parent as string,
    kind: Number(row.kind) as SnapshotRecord["kind"],
    labels: JSON.parse(row.labels as string),
    created: row.created as string,
    updated: row.updated as string,
    usage: row.size === null ? undefined : { size: Number(row.size), inodes: Number(row.inodes) },
  };
}

/** The snapshot, or undefined. */
export function findSnapshot(
  db: Database,
  { ns, snapshotter }: Where,
  name: string,
): SnapshotRecord | undefined {
  const sql = "SELECT * FROM snapshots WHERE ns = ? AND snapshotter = ? AND name = ?";
  const row = db.get(sql, ns, snapshotter, name);
  return row === undefined ? undefined : record(row);
}

/** The snapshot, or "not_found". */
export function getSnapshot(db: Database, where: Where, name: string): SnapshotRecord {
  const found = findSnapshot(db, where, name);
  if (found === undefined) throw new BerthError("not_found", `snapshot ${name} does not exist: not found`);
  return found;
}

/** All snapshots of a snapshotter in a namespace, oldest first. */
export function listSnapshots(db: Database, { ns, snapshotter }: Where): SnapshotRecord[] {
  return db
    .all("SELECT * FROM snapshots WHERE ns = ? AND snapshotter = ? ORDER BY number", ns, snapshotter)
    .map(record);
}

/** The snapshot's ancestors, nearest first. */
export function ancestors(db: Database, where: Where, parent: string): SnapshotRecord[] {
  const out: SnapshotRecord[] = [];
  for (let name = parent; name !== ""; ) {
    const found = getSnapshot(db, where, name);
    out.push(found);
    name = found.parent;
  }
  return out;
}

/** Whether the snapshot has children. */
export function hasChildren(db: Database, { ns, snapshotter }: Where, name: string): boolean {
  const sql = "SELECT 1 FROM snapshots WHERE ns = ? AND snapshotter = ? AND parent = ? LIMIT 1";
  return db.get(sql, ns, snapshotter, name) !== undefined;
}

/** Adds a snapshot; "already_exists" if the name is taken. Returns the record with its number. */
export function insertSnapshot(
  db: Database,
  where: Where,
  wanted: { name: string; parent: string; kind: SnapshotRecord["kind"]; labels: Labels; created: string },
): SnapshotRecord {
  ensureNamespace(db, where.ns);
  const sql = `INSERT OR IGNORE INTO snapshots (ns, snapshotter, name, parent, kind, labels, created, updated)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`;
  const { name, parent, kind, labels, created } = wanted;
  const text = JSON.stringify(labels);
  if (db.run(sql, where.ns, where.snapshotter, name, parent, kind, text, created, created) === 0)
    throw new BerthError("already_exists", `snapshot ${JSON.stringify(name)}: already exists`);
  return getSnapshot(db, where, name);
}

/** Updates the mutable fields of a snapshot. */
export function saveSnapshot(db: Database, s: SnapshotRecord): void {
  const sql = `UPDATE snapshots SET name = ?, parent = ?, kind = ?, labels = ?, created = ?, updated = ?, size = ?, inodes = ?
    WHERE number = ?`;
  const { size = null, inodes = null } = s.usage ?? {};
  const labels = JSON.stringify(s.labels);
  db.run(sql, s.name, s.parent, s.kind, labels, s.created, s.updated, size, inodes, s.number);
}

/** Lease rows and their resources. */
import { randomBytes } from "node:crypto";
import { BerthError } from "@berth/base";
import type { Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import type { Database } from "../../base/store/database.ts";
import { ensureNamespace } from "../namespaces/rows.ts";

/** Kinds of resources: content (id: digest), ingests (ref), snapshots/<snapshotter> (name), images (name). */
export interface Resource {
  type: string;
  id: string;
}

/** A lease. */
export interface LeaseRecord {
  id: string;
  labels: Labels;
  created: string;
}

/** The lease, or "not_found". */
export function getLease(db: Database, ns: string, id: string): LeaseRecord {
  const row = db.get("SELECT labels, created FROM leases WHERE ns = ? AND id = ?", ns, id);
  if (row === undefined) throw new BerthError("not_found", `lease ${JSON.stringify(id)}: not found`);
  return { id, labels: JSON.parse(row.labels as string), created: row.created as string };
}

/** All leases of a namespace. */
export function listLeases(db: Database, ns: string): LeaseRecord[] {
  return db.all("SELECT id, labels, created FROM leases WHERE ns = ? ORDER BY id", ns).map((row) => ({
    id: row.id as string,
    labels: JSON.parse(row.labels as string),
    created: row.created as string,
  }));
}

/** An id for a lease whose creator gives none. */
export function newLeaseId(): string {
  return `${Date.now()}-${randomBytes(6).toString("base64url")}`;
}

/** Creates a lease; "already_exists" if the id is taken. */
export function createLease(db: Database, ns: string, lease: LeaseRecord): void {
  ensureNamespace(db, ns);
  const sql = "INSERT OR IGNORE INTO leases (ns, id, labels, created) VALUES (?, ?, ?, ?)";
  if (db.run(sql, ns, lease.id, JSON.stringify(lease.labels), lease.created) === 0)
    throw new BerthError("already_exists", `lease ${JSON.stringify(lease.id)}: already exists`);
}

/** Adds a resource to a lease. */
export function holdResource(db: Database, ns: string, lease: string, { type, id }: Resource): void {
  db.run(
    "INSERT OR IGNORE INTO lease_resources (ns, lease, type, id) VALUES (?, ?, ?, ?)",
    ns,
    lease,
    type,
    id,
  );
}

/** Adds a resource to the call's lease, if it has one; returns whether it has. */
export function holdInScope(db: Database, scope: Scope, resource: Resource): boolean {
  if (scope.lease === undefined) return false;
  getLease(db, scope.namespace, scope.lease);
  holdResource(db, scope.namespace, scope.lease, resource);
  return true;
}

/** Removes a resource from every lease. */
export function dropResource(db: Database, ns: string, { type, id }: Resource): void {
  db.run("DELETE FROM lease_resources WHERE ns = ? AND type = ? AND id = ?", ns, type, id);
}

/** The resources of a lease. */
export function listResources(db: Database, ns: string, lease: string): Resource[] {
  return db
    .all("SELECT type, id FROM lease_resources WHERE ns = ? AND lease = ? ORDER BY type, id", ns, lease)
    .map((row) => ({ type: row.type as string, id: row.id as string }));
}

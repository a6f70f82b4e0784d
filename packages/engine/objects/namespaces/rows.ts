/** Namespace rows. A namespace is created explicitly or with its first object. */
import type { Labels } from "../../base/core/names.ts";
import type { Database } from "../../base/store/database.ts";

/** A namespace. */
export interface NamespaceRecord {
  name: string;
  labels: Labels;
}

/** Inserts the row if missing; called in the transaction that creates the namespace's first object. */
export function ensureNamespace(db: Database, name: string): void {
  db.run("INSERT OR IGNORE INTO namespaces (name, labels) VALUES (?, '{}')", name);
}

/** The namespace; undefined if there is none. */
export function findNamespace(db: Database, name: string): NamespaceRecord | undefined {
  const row = db.get("SELECT labels FROM namespaces WHERE name = ?", name);
  return row === undefined ? undefined : { name, labels: JSON.parse(row.labels as string) };
}

/** All namespaces by name. */
export function listNamespaces(db: Database): NamespaceRecord[] {
  return db
    .all("SELECT name, labels FROM namespaces ORDER BY name")
    .map((row) => ({ name: row.name as string, labels: JSON.parse(row.labels as string) }));
}

/** The kinds of objects a namespace still has, as containerd words them; empty if it can be deleted. */
export function holdings(db: Database, name: string): string[] {
  const has = (table: string) => db.get(`SELECT 1 FROM ${table} WHERE ns = ? LIMIT 1`, name) !== undefined;
  const out: string[] = [];
  if (has("images")) out.push("images");
  if (has("content")) out.push("blobs");
  if (has("containers")) out.push("containers");
  // Not containerd's: without their namespace, nobody would ever remove these.
  if (has("activations")) out.push("mounts");
  if (has("sandboxes")) out.push("sandboxes");
  for (const row of db.all("SELECT DISTINCT snapshotter FROM snapshots WHERE ns = ?", name))
    out.push(`snapshots on ${JSON.stringify(row.snapshotter)} snapshotter`);
  return out;
}

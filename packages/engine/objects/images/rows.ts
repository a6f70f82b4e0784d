/** Image rows: a name and its target descriptor. */
import { BerthError } from "@berth/base";
import type { Descriptor } from "@berth/oci";
import type { Labels } from "../../base/core/names.ts";
import type { Database, Row } from "../../base/store/database.ts";
import { ensureNamespace } from "../namespaces/rows.ts";

/** An image. */
export interface ImageRecord {
  name: string;
  target: Descriptor;
  labels: Labels;
  created: string;
  updated: string;
}

/** The record of a row. */
export function imageOf(row: Row): ImageRecord {
  return {
    name: row.name as string,
    target: JSON.parse(row.target as string),
    labels: JSON.parse(row.labels as string),
    created: row.created as string,
    updated: row.updated as string,
  };
}

/** The image, or undefined. */
export function findImage(db: Database, ns: string, name: string): ImageRecord | undefined {
  const row = db.get("SELECT * FROM images WHERE ns = ? AND name = ?", ns, name);
  return row === undefined ? undefined : imageOf(row);
}

/** The image, or "not_found". */
export function getImage(db: Database, ns: string, name: string): ImageRecord {
  const found = findImage(db, ns, name);
  if (found === undefined) throw new BerthError("not_found", `image ${JSON.stringify(name)}: not found`);
  return found;
}

/** The rows of all images of a namespace by name. */
export function imageRows(db: Database, ns: string): Row[] {
  return db.all("SELECT * FROM images WHERE ns = ? ORDER BY name", ns);
}

/** Adds an image; "already_exists" if the name is taken. */
export function insertImage(db: Database, ns: string, image: ImageRecord): void {
  ensureNamespace(db, ns);
  const sql =
    "INSERT OR IGNORE INTO images (ns, name, target, labels, created, updated) VALUES (?, ?, ?, ?, ?, ?)";
  const { name, target, labels, created, updated } = image;
  if (db.run(sql, ns, name, JSON.stringify(target), JSON.stringify(labels), created, updated) === 0)
    throw new BerthError("already_exists", `image ${JSON.stringify(name)}: already exists`);
}

/** Replaces an image's target, labels and update time. */
export function replaceImage(db: Database, ns: string, image: ImageRecord): void {
  const sql = "UPDATE images SET target = ?, labels = ?, updated = ? WHERE ns = ? AND name = ?";
  db.run(sql, JSON.stringify(image.target), JSON.stringify(image.labels), image.updated, ns, image.name);
}

/** Content rows: a namespace's blobs and ingests. */
import { BerthError } from "@berth/base";
import type { Labels } from "../../base/core/names.ts";
import type { Database, Row } from "../../base/store/database.ts";
import { ensureNamespace } from "../namespaces/rows.ts";

/** A blob as a namespace sees it. */
export interface ContentRecord {
  digest: string;
  size: number;
  labels: Labels;
  created: string;
  updated: string;
}

/** An ingest that has not become a blob yet. */
export interface IngestRecord {
  number: number;
  ref: string;
  /** Set for a blob that another namespace already has: no data needs to be sent. */
  expected: string;
  total: number;
  started: string;
}

function record(row: Row): ContentRecord {
  return {
    digest: row.digest as string,
    size: Number(row.size),
    labels: JSON.parse(row.labels as string),
    created: row.created as string,
    updated: row.updated as string,
  };
}

/** The blob, or undefined. */
export function findContent(db: Database, ns: string, digest: string): ContentRecord | undefined {
  const row = db.get("SELECT * FROM content WHERE ns = ? AND digest = ?", ns, digest);
  return row === undefined ? undefined : record(row);
}

/** The blob, or "not_found". */
export function getContent(db: Database, ns: string, digest: string): ContentRecord {
  const found = findContent(db, ns, digest);
  if (found === undefined) throw new BerthError("not_found", `content digest ${digest}: not found`);
  return found;
}

/** All blobs of a namespace. */
export function listContent(db: Database, ns: string): ContentRecord[] {
  return db.all("SELECT * FROM content WHERE ns = ? ORDER BY digest", ns).map(record);
}

/** Adds a blob; returns false if the namespace has it already. */
export function insertContent(db: Database, ns: string, blob: ContentRecord): boolean {
  ensureNamespace(db, ns);
  const sql =
    "INSERT OR IGNORE INTO content (ns, digest, size, labels, created, updated) VALUES (?, ?, ?, ?, ?, ?)";
  return db.run(sql, ns, blob.digest, blob.size, JSON.stringify(blob.labels), blob.created, blob.updated) > 0;
}

/** Replaces a blob's labels. */
export function setContentLabels(
  db: Database,
  ns: string,
  digest: string,
  labels: Labels,
  updated: string,
): void {
  const sql = "UPDATE content SET labels = ?, updated = ? WHERE ns = ? AND digest = ?";
  db.run(sql, JSON.stringify(labels), updated, ns, digest);
}

/** Whether any namespace has the blob. */
export function isKnown(db: Database, digest: string): boolean {
  return db.get("SELECT 1 FROM content WHERE digest = ? LIMIT 1", digest) !== undefined;
}

function ingest(row: Row): IngestRecord {
  return {
    number: Number(row.number),
    ref: row.ref as string,
    expected: row.expected as string,
    total: Number(row.total),
    started: row.started as string,
  };
}

/** The ingest of a ref, or undefined. */
export function findIngest(db: Database, ns: string, ref: string): IngestRecord | undefined {
  const row = db.get("SELECT * FROM ingests WHERE ns = ? AND ref = ?", ns, ref);
  return row === undefined ? undefined : ingest(row);
}

/** All ingests of a namespace. */
export function listIngests(db: Database, ns: string): IngestRecord[] {
  return db.all("SELECT * FROM ingests WHERE ns = ? ORDER BY ref", ns).map(ingest);
}

/** Inserts an ingest before its first byte is written. */
export function insertIngest(
  db: Database,
  ns: string,
  wanted: { ref: string; expected: string; total: number; started: string; leased: boolean },
): IngestRecord {
  ensureNamespace(db, ns);
  const sql = "INSERT INTO ingests (ns, ref, expected, total, started, leased) VALUES (?, ?, ?, ?, ?, ?)";
  db.run(sql, ns, wanted.ref, wanted.expected, wanted.total, wanted.started, wanted.leased ? 1 : 0);
  return findIngest(db, ns, wanted.ref)!;
}

/** Deletes an ingest. */
export function deleteIngest(db: Database, ns: string, ref: string): void {
  db.run("DELETE FROM ingests WHERE ns = ? AND ref = ?", ns, ref);
  db.run("DELETE FROM lease_resources WHERE ns = ? AND type = 'ingests' AND id = ?", ns, ref);
}

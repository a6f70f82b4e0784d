/** What nothing keeps in a namespace. */
import type { Database } from "../../base/store/database.ts";
import { Graph } from "./graph.ts";
import { hasExpired } from "./labels.ts";
import {
  contentNode,
  imageNode,
  ingestNode,
  leaseNode,
  mountNode,
  type NodeName,
  snapshotNode,
} from "./nodes.ts";

/** A snapshot that is to be removed. */
export interface SnapshotName {
  snapshotter: string;
  name: string;
}

/** Objects to remove, by kind. */
export interface Garbage {
  leases: string[];
  images: string[];
  content: string[];
  ingests: string[];
  /** Children before their parents. */
  snapshots: SnapshotName[];
  mounts: { number: number; name: string }[];
}

/** Whether an ingest is open, or belongs to a write that has not expired. */
export type IngestInUse = (ns: string, ref: string, started: bigint) => boolean;

/** Finds what a collection at `nowNs` removes from the namespace `ns`. */
export function findGarbage(db: Database, ns: string, nowNs: bigint, ingestInUse: IngestInUse): Garbage {
  const kept = new Graph(db, ns, nowNs).reachable();
  const expired = (table: "leases" | "images", column: string) =>
    (
      db.all(`SELECT ${column} AS name, labels FROM ${table} WHERE ns = ?`, ns) as {
        name: string;
        labels: string;
      }[]
    )
      .filter(({ labels }) => hasExpired(JSON.parse(labels), nowNs))
      .map(({ name }) => name);
  const digests = db.all("SELECT digest FROM content WHERE ns = ?", ns) as { digest: string }[];
  const ingests = db.all("SELECT ref, started, leased FROM ingests WHERE ns = ?", ns) as {
    ref: string;
    started: string;
    leased: number;
  }[];
  // Without info it is being made.
  const mounts = db.all("SELECT number, name FROM activations WHERE ns = ? AND info IS NOT NULL", ns) as {
    number: number;
    name: string;
  }[];
  return {
    leases: expired("leases", "id"),
    images: expired("images", "name").filter((name) => !kept.has(imageNode(name))),
    content: digests.map(({ digest }) => digest).filter((digest) => !kept.has(contentNode(digest))),
    ingests: ingests
      .filter(({ ref }) => !kept.has(ingestNode(ref)))
      // A lease that has gone holds it no longer.
      .filter(({ ref, started, leased }) => !ingestInUse(ns, ref, leased ? 0n : BigInt(started)))
      .map(({ ref }) => ref),
    snapshots: removableSnapshots(db, ns, kept),
    mounts: mounts.filter(({ name }) => !kept.has(mountNode(name))),
  };
}

/** Snapshots that are not kept and have no kept children, children before their parents. */
function removableSnapshots(db: Database, ns: string, kept: ReadonlySet<NodeName>): SnapshotName[] {
  const rows = db.all("SELECT snapshotter, name, parent FROM snapshots WHERE ns = ?", ns) as {
    snapshotter: string;
    name: string;
    parent: string;
  }[];
  const unreferenced = rows.filter((row) => !kept.has(snapshotNode(row.snapshotter, row.name)));
  const children = new Map<NodeName, number>();
  for (const row of rows) {
    const parent = snapshotNode(row.snapshotter, row.parent);
    children.set(parent, (children.get(parent) ?? 0) + 1);
  }
  const byNode = new Map(unreferenced.map((row) => [snapshotNode(row.snapshotter, row.name), row]));
  const ready = unreferenced.filter((row) => !children.get(snapshotNode(row.snapshotter, row.name)));
  const out: SnapshotName[] = [];
  for (let row = ready.pop(); row !== undefined; row = ready.pop()) {
    const { snapshotter, name } = row;
    out.push({ snapshotter, name });
    const parent = snapshotNode(snapshotter, row.parent);
    const left = (children.get(parent) ?? 1) - 1;
    children.set(parent, left);
    const next = byNode.get(parent);
    if (left === 0 && next !== undefined) ready.push(next);
  }
  return out;
}

/** The node names of garbage. */
export function nodesOf(garbage: Garbage): NodeName[] {
  return [
    ...garbage.leases.map(leaseNode),
    ...garbage.images.map(imageNode),
    ...garbage.content.map(contentNode),
    ...garbage.ingests.map(ingestNode),
    ...garbage.snapshots.map(({ snapshotter, name }) => snapshotNode(snapshotter, name)),
    ...garbage.mounts.map(({ name }) => mountNode(name)),
  ];
}

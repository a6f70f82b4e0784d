/**
 * Reachability: containerd's rules of garbage collection.
 *
 * Roots are images, containers, leases that have not expired, and objects labelled `containerd.io/gc.root`.
 * References follow from the labels `containerd.io/gc.ref.content*` (a digest) and
 * `containerd.io/gc.ref.snapshot.<snapshotter>*` (a name), and from a snapshot to its parent.
 */
import { CONTAINERD_LABEL, containers, LABEL, types } from "@berth/api";
import { fromBinary } from "@bufbuild/protobuf";
import type { Labels } from "../../base/core/names.ts";
import { parseRfc3339 } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";

/**
 * A node of the graph: "content/<digest>", "snapshots/<snapshotter>/<name>", "ingests/<ref>", "mounts/<name>",
 * "images/<name>" or "containers/<id>".
 */
export type NodeName = string;

export const contentNode = (digest: string): NodeName => `content/${digest}`;
export const snapshotNode = (snapshotter: string, name: string): NodeName =>
  `snapshots/${snapshotter}/${name}`;
export const ingestNode = (ref: string): NodeName => `ingests/${ref}`;
export const mountNode = (name: string): NodeName => `mounts/${name}`;
const imageNode = (name: string): NodeName => `images/${name}`;
const containerNode = (id: string): NodeName => `containers/${id}`;

/** Whether a label is `prefix`, alone or with a name behind a "." or "/". */
function isNamed(key: string, prefix: string): boolean {
  return key === prefix || key.startsWith(`${prefix}.`) || key.startsWith(`${prefix}/`);
}

/** The nodes referenced by labels. */
export function references(labels: Labels): NodeName[] {
  const out: NodeName[] = [];
  for (const [key, value] of Object.entries(labels)) {
    if (isNamed(key, CONTAINERD_LABEL.gcRefContent)) out.push(contentNode(value));
    else if (isNamed(key, CONTAINERD_LABEL.gcRefMount)) out.push(mountNode(value));
    else if (key.startsWith(CONTAINERD_LABEL.gcRefSnapshot)) {
      const snapshotter = key.slice(CONTAINERD_LABEL.gcRefSnapshot.length).split("/")[0]!;
      if (snapshotter !== "") out.push(snapshotNode(snapshotter, value));
    }
  }
  return out;
}

/** The nodes that keep an activation with these labels. */
function keepers(labels: Labels): NodeName[] {
  const { gcBackRefContainer, gcBackRefImage, gcBackRefContent, gcBackRefSnapshot } = CONTAINERD_LABEL;
  return Object.entries(labels).flatMap(([key, value]) => {
    if (isNamed(key, gcBackRefContainer)) return [containerNode(value)];
    if (isNamed(key, gcBackRefImage)) return [imageNode(value)];
    if (isNamed(key, gcBackRefContent)) return [contentNode(value)];
    if (!key.startsWith(gcBackRefSnapshot)) return [];
    return [snapshotNode(key.slice(gcBackRefSnapshot.length).split("/")[0]!, value)];
  });
}

/** The reachable nodes of a namespace at the time `nowNs`. */
export function mark(db: Database, ns: string, nowNs: bigint): Set<NodeName> {
  const edges = new Map<NodeName, NodeName[]>();
  const roots: NodeName[] = [];
  const seen = new Set<NodeName>();
  const live = new Set<string>();
  const isRoot = (labels: Labels) => labels[CONTAINERD_LABEL.gcRoot] !== undefined;

  for (const row of db.all("SELECT digest, labels FROM content WHERE ns = ?", ns)) {
    const labels = JSON.parse(row.labels as string) as Labels;
    const node = contentNode(row.digest as string);
    edges.set(node, references(labels));
    if (isRoot(labels)) roots.push(node);
  }
  for (const row of db.all("SELECT snapshotter, name, parent, labels FROM snapshots WHERE ns = ?", ns)) {
    const labels = JSON.parse(row.labels as string) as Labels;
    const snapshotter = row.snapshotter as string;
    const node = snapshotNode(snapshotter, row.name as string);
    const targets = references(labels);
    if (row.parent !== "") targets.push(snapshotNode(snapshotter, row.parent as string));
    edges.set(node, targets);
    if (isRoot(labels) || isHeld(labels, nowNs)) roots.push(node);
  }
  for (const row of db.all("SELECT name, target, labels FROM images WHERE ns = ?", ns)) {
    roots.push(imageNode(row.name as string));
    roots.push(contentNode((JSON.parse(row.target as string) as { digest: string }).digest));
    roots.push(...references(JSON.parse(row.labels as string)));
  }
  for (const row of db.all("SELECT id, record FROM containers WHERE ns = ?", ns)) {
    roots.push(containerNode(row.id as string));
    const record = fromBinary(containers.ContainerSchema, row.record as Uint8Array);
    if (record.snapshotKey !== "") roots.push(snapshotNode(record.snapshotter, record.snapshotKey));
    roots.push(...references(record.labels));
  }
  for (const row of db.all("SELECT record FROM sandboxes WHERE ns = ?", ns))
    roots.push(...references(fromBinary(types.SandboxSchema, row.record as Uint8Array).labels));
  for (const row of db.all("SELECT id, labels FROM leases WHERE ns = ?", ns)) {
    const labels = JSON.parse(row.labels as string) as Labels;
    if (hasExpired(labels, nowNs)) continue;
    const held = db.all(
      "SELECT type, id FROM lease_resources WHERE ns = ? AND lease = ?",
      ns,
      row.id as string,
    );
    for (const resource of held) {
      const node = `${resource.type}/${resource.id}`;
      // A flat lease keeps only its resources, not their references.
      if (labels[CONTAINERD_LABEL.gcFlat] !== undefined) seen.add(node);
      else roots.push(node);
    }
    roots.push(...references(labels));
    live.add(row.id as string);
  }
  for (const row of db.all("SELECT name, lease, labels FROM activations WHERE ns = ?", ns)) {
    const labels = JSON.parse(row.labels as string) as Labels;
    const node = mountNode(row.name as string);
    if (live.has(row.lease as string)) roots.push(node);
    for (const keeper of keepers(labels)) edges.set(keeper, [...(edges.get(keeper) ?? []), node]);
  }

  const kept = new Set<NodeName>();
  const todo = roots;
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (kept.has(node)) continue;
    kept.add(node);
    for (const target of edges.get(node) ?? []) if (!kept.has(target)) todo.push(target);
  }
  for (const node of seen) kept.add(node);
  return kept;
}

/** Whether a client has asked for it to be held. */
export function isHeld(labels: Labels, nowNs: bigint): boolean {
  const until = timeIn(labels, LABEL.heldUntil);
  return until !== undefined && until > nowNs;
}

/** Whether a lease's `containerd.io/gc.expire` has passed. */
export function hasExpired(labels: Labels, nowNs: bigint): boolean {
  const at = timeIn(labels, CONTAINERD_LABEL.gcExpire);
  return at !== undefined && at <= nowNs;
}

/** When the labels of a lease or of a snapshot cease to hold something; undefined if never. */
export function expiry(labels: Labels): bigint | undefined {
  return timeIn(labels, CONTAINERD_LABEL.gcExpire) ?? timeIn(labels, LABEL.heldUntil);
}

function timeIn(labels: Labels, key: string): bigint | undefined {
  const text = labels[key];
  return text === undefined ? undefined : parseRfc3339(text);
}

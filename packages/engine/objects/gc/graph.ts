/**
 * What keeps what in a namespace: containerd's rules of garbage collection.
 *
 * Roots are containers, sandboxes, images and leases that have not expired, and objects whose labels say so. An image
 * keeps its target, a container and a snapshot the snapshot that they stand on, an ingest the blob that it is to become,
 * a lease its resources; labels keep (`gc.ref.*`) or have themselves kept by (`gc.bref.*`) anything else.
 */
import { CONTAINERD_LABEL, containers, types } from "@berth/api";
import { fromBinary } from "@bufbuild/protobuf";
import type { Labels } from "../../base/core/names.ts";
import type { Database } from "../../base/store/database.ts";
import { hasExpired, isRoot, keepers, references } from "./labels.ts";
import {
  containerNode,
  contentNode,
  imageNode,
  ingestNode,
  leaseNode,
  mountNode,
  type NodeName,
  sandboxNode,
  snapshotNode,
} from "./nodes.ts";

/** A flat lease keeps a node, but nothing that this refers to, except a snapshot's parents. */
const FLAT = "flat:";

/** The columns of all tables that are read. */
interface Columns {
  digest: string;
  expected: string;
  id: string;
  labels: Labels;
  lease: string;
  name: string;
  parent: string;
  record: Uint8Array;
  ref: string;
  snapshotter: string;
  target: string;
}

/** The graph of a namespace at a moment. */
export class Graph {
  readonly #roots = new Set<NodeName>();
  /** Blobs and snapshots that are roots by a label. */
  readonly #held = new Set<NodeName>();
  readonly #edges = new Map<NodeName, NodeName[]>();
  /** What a flat lease keeps of a node: the node that it stands on. */
  readonly #bases = new Map<NodeName, NodeName>();

  /** Reads the namespace `ns` as it is for the collector at `nowNs`. */
  constructor(db: Database, ns: string, nowNs: bigint) {
    const rows = (sql: string) =>
      db.all(sql, ns).map((row) => ({ ...row, labels: labelsOf(row.labels) }) as unknown as Columns);
    for (const { digest, labels } of rows("SELECT digest, labels FROM content WHERE ns = ?"))
      this.#add(contentNode(digest), labels, { held: isRoot(labels, nowNs) });
    for (const { snapshotter, name, parent, labels } of rows(
      "SELECT snapshotter, name, parent, labels FROM snapshots WHERE ns = ?",
    )) {
      const base = parent === "" ? undefined : snapshotNode(snapshotter, parent);
      this.#add(snapshotNode(snapshotter, name), labels, { held: isRoot(labels, nowNs), base });
    }
    for (const { name, target, labels } of rows("SELECT name, target, labels FROM images WHERE ns = ?")) {
      const base = contentNode((JSON.parse(target) as { digest: string }).digest);
      this.#add(imageNode(name), labels, { root: !hasExpired(labels, nowNs), base });
    }
    for (const { ref, expected } of rows("SELECT ref, expected FROM ingests WHERE ns = ?"))
      if (expected !== "") this.#edge(ingestNode(ref), contentNode(expected));
    for (const { record } of rows("SELECT record FROM containers WHERE ns = ?")) {
      const { id, snapshotter, snapshotKey, labels } = fromBinary(containers.ContainerSchema, record);
      const base = snapshotKey === "" ? undefined : snapshotNode(snapshotter, snapshotKey);
      this.#add(containerNode(id), labels, { root: true, base });
    }
    for (const { record } of rows("SELECT record FROM sandboxes WHERE ns = ?")) {
      const { sandboxId, labels } = fromBinary(types.SandboxSchema, record);
      this.#add(sandboxNode(sandboxId), labels, { root: true });
    }
    for (const { id, labels } of rows("SELECT id, labels FROM leases WHERE ns = ?"))
      if (!hasExpired(labels, nowNs)) this.#addLease(db, ns, id, labels);
    for (const { name, lease, labels } of rows("SELECT name, lease, labels FROM activations WHERE ns = ?")) {
      this.#add(mountNode(name), labels, {});
      if (lease !== "") this.#edge(leaseNode(lease), mountNode(name));
    }
  }

  #add(
    node: NodeName,
    labels: Labels,
    { root, held, base }: { root?: boolean; held?: boolean; base?: NodeName | undefined },
  ): void {
    if (root) this.#roots.add(node);
    if (held) this.#held.add(node);
    if (base !== undefined) {
      this.#edge(node, base);
      this.#bases.set(node, base);
    }
    for (const target of references(labels)) this.#edge(node, target);
    for (const keeper of keepers(labels)) this.#edge(keeper, node);
  }

  #addLease(db: Database, ns: string, id: string, labels: Labels): void {
    const lease = leaseNode(id);
    this.#roots.add(lease);
    const sql = "SELECT type, id FROM lease_resources WHERE ns = ? AND lease = ?";
    for (const resource of db.all(sql, ns, id) as { type: string; id: string }[]) {
      const node = `${resource.type}/${resource.id}`;
      if (labels[CONTAINERD_LABEL.gcFlat] === undefined) this.#edge(lease, node);
      else
        for (let at: NodeName | undefined = node; at !== undefined; at = this.#bases.get(at))
          this.#edge(lease, FLAT + at);
    }
  }

  #edge(from: NodeName, to: NodeName): void {
    const edges = this.#edges.get(from);
    if (edges === undefined) this.#edges.set(from, [to]);
    else edges.push(to);
  }

  /** All nodes that are kept, and dead ends of references. */
  reachable(): Set<NodeName> {
    return new Set([...this.#walk()].map(([node]) => plain(node)));
  }

  /** The roots that are objects of their own: containers, sandboxes, images and leases. */
  get owners(): readonly NodeName[] {
    return [...this.#roots];
  }

  /** All that `node` keeps, itself included. */
  keptBy(node: NodeName): Set<NodeName> {
    return new Set([...this.#from([node]).keys()].map(plain));
  }

  /**
   * A shortest chain of nodes, from a root, by which `node` is kept; undefined if it is not. A label's root counts where
   * there is no other.
   */
  chainTo(node: NodeName): NodeName[] | undefined {
    const from = this.#walk();
    const found = [node, FLAT + node].find((name) => from.has(name));
    if (found === undefined) return undefined;
    const chain: NodeName[] = [];
    for (let at: NodeName | undefined = found; at !== undefined; at = from.get(at)) chain.unshift(plain(at));
    return chain;
  }

  #walk(): Map<NodeName, NodeName | undefined> {
    return this.#from(this.#held, this.#from(this.#roots));
  }

  /**
   * Visits what can be reached from `roots` and was not before, in order of distance; notes in `from` where each node was
   * reached from.
   */
  #from(
    roots: Iterable<NodeName>,
    from = new Map<NodeName, NodeName | undefined>(),
  ): Map<NodeName, NodeName | undefined> {
    const todo = new Set<NodeName>();
    for (const root of roots) {
      if (from.has(root)) continue;
      from.set(root, undefined);
      todo.add(root);
    }
    // A Set yields what is added during its iteration.
    for (const node of todo)
      for (const target of this.#edges.get(node) ?? []) {
        if (from.has(target)) continue;
        from.set(target, node);
        todo.add(target);
      }
    return from;
  }
}

function plain(node: NodeName): NodeName {
  return node.startsWith(FLAT) ? node.slice(FLAT.length) : node;
}

function labelsOf(text: unknown): Labels {
  return typeof text === "string" ? (JSON.parse(text) as Labels) : {};
}

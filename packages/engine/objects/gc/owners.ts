/** Who owns how much of the disk: by the references that keep things. */
import type { Database } from "../../base/store/database.ts";
import { Graph } from "./graph.ts";
import { type NodeName, nodeKind } from "./nodes.ts";

/** Bytes, by what they are. */
export interface Amount {
  content: number;
  snapshots: number;
  logs: number;
}

/** A container, sandbox, image or lease, and what it keeps. */
export interface Owner {
  node: NodeName;
  /** What nobody else keeps, and what others keep, too. */
  own: Amount;
  shared: Amount;
}

/** The sizes of a namespace. */
export interface Ownership {
  /** The largest first. */
  owners: Owner[];
  unowned: Amount;
  total: Amount;
}

export const nothing = (): Amount => ({ content: 0, snapshots: 0, logs: 0 });

/** Who owns what of a namespace; `sizes` are those of all its blobs and snapshots, and of containers' logs. */
export function ownership(
  db: Database,
  ns: string,
  nowNs: bigint,
  sizes: ReadonlyMap<NodeName, Amount>,
): Ownership {
  const graph = new Graph(db, ns, nowNs);
  const kept = graph.owners.map((node) => ({ node, nodes: graph.keptBy(node) }));
  const keepers = new Map<NodeName, number>();
  for (const { nodes } of kept) for (const node of nodes) keepers.set(node, (keepers.get(node) ?? 0) + 1);
  // A container keeps its image's snapshots; those are the image's, with whom it shares them.
  const owners = kept.map(({ node, nodes }): Owner => {
    const owner = { node, own: nothing(), shared: nothing() };
    for (const each of nodes)
      add(keepers.get(each) === 1 ? owner.own : owner.shared, sizes.get(each) ?? nothing());
    return owner;
  });
  const unowned = nothing();
  const total = nothing();
  for (const [node, amount] of sizes) {
    add(total, amount);
    if (!keepers.has(node)) add(unowned, amount);
  }
  owners.sort((one, other) => sum(other.own) - sum(one.own) || sum(other.shared) - sum(one.shared));
  // A lease of a request that is being served owns nothing yet.
  return {
    owners: owners.filter(
      ({ node, own, shared }) => nodeKind(node) !== "leases" || sum(own) + sum(shared) > 0,
    ),
    unowned,
    total,
  };
}

function add(to: Amount, more: Amount): void {
  to.content += more.content;
  to.snapshots += more.snapshots;
  to.logs += more.logs;
}

const sum = ({ content, snapshots, logs }: Amount) => content + snapshots + logs;

/** The Garbage service: why an object is kept, and what would be collected. */
import { garbage as api } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { scopeOf } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import type { ContainerRecord, ContainerStore } from "../../objects/containers/container-store.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import { nodesOf } from "../../objects/gc/garbage.ts";
import { Graph } from "../../objects/gc/graph.ts";
import {
  containerNode,
  contentNode,
  imageNode,
  ingestNode,
  mountNode,
  type NodeName,
  snapshotNode,
} from "../../objects/gc/nodes.ts";

import { type Amount, nothing, ownership } from "../../objects/gc/owners.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";

/** Digits of a digest below which it is not completed. */
const MIN_DIGITS = 8;

const KINDS: Readonly<Record<string, string>> = {
  containers: "container",
  images: "image",
  leases: "lease",
  sandboxes: "sandbox",
  snapshots: "snapshot",
  ingests: "ingest",
  mounts: "mount",
};

function show(node: NodeName) {
  const [kind = "", ...rest] = node.split("/");
  if (kind !== "snapshots") return { kind: KINDS[kind] ?? kind, name: rest.join("/") };
  return { kind: "snapshot", snapshotter: rest[0] ?? "", name: rest.slice(1).join("/") };
}

/** The nodes of a namespace that a client means by `target`. */
function matching(db: Database, ns: string, target: string): NodeName[] {
  const isPart = new RegExp(`^(?:sha256:)?[0-9a-f]{${MIN_DIGITS},64}$`).test(target);
  const prefix = target.startsWith("sha256:") ? target : `sha256:${target}`;
  const means = (name: string) => name === target || (isPart && name.startsWith(prefix));
  const names = (sql: string) =>
    (db.all(sql, ns) as { name: string; snapshotter: string }[]).filter(({ name }) => means(name));
  return [
    ...names("SELECT id AS name FROM containers WHERE ns = ?").map(({ name }) => containerNode(name)),
    ...names("SELECT name FROM images WHERE ns = ?").map(({ name }) => imageNode(name)),
    ...names("SELECT digest AS name FROM content WHERE ns = ?").map(({ name }) => contentNode(name)),
    ...names("SELECT snapshotter, name FROM snapshots WHERE ns = ?").map(({ snapshotter, name }) =>
      snapshotNode(snapshotter, name),
    ),
    ...names("SELECT ref AS name FROM ingests WHERE ns = ?").map(({ name }) => ingestNode(name)),
    ...names("SELECT name FROM activations WHERE ns = ?").map(({ name }) => mountNode(name)),
  ];
}

/** What the service looks at. */
export interface GarbageParts {
  db: Database;
  collector: Collector;
  snapshots: SnapshotStore;
  containers: ContainerStore;
  /** Bytes of a container's log. */
  logSize(ns: string, record: ContainerRecord): number;
}

/** The sizes of a namespace's blobs, snapshots and logs. Counting the files of snapshots takes a while. */
async function sizesOf(
  { db, snapshots, containers, logSize }: GarbageParts,
  ns: string,
): Promise<Map<NodeName, Amount>> {
  const sizes = new Map<NodeName, Amount>();
  for (const { digest, size } of db.all("SELECT digest, size FROM content WHERE ns = ?", ns))
    sizes.set(contentNode(digest as string), { ...nothing(), content: Number(size) });
  for (const { snapshotter, name } of db.all("SELECT snapshotter, name FROM snapshots WHERE ns = ?", ns) as {
    snapshotter: string;
    name: string;
  }[]) {
    // It may be removed meanwhile; a proxy may not answer.
    const usage = await snapshots.usage({ ns, snapshotter }, name).catch(() => undefined);
    sizes.set(snapshotNode(snapshotter, name), { ...nothing(), snapshots: usage?.size ?? 0 });
  }
  for (const record of containers.list(ns))
    sizes.set(containerNode(record.id), { ...nothing(), logs: logSize(ns, record) });
  return sizes;
}

const showAmount = ({ content, snapshots, logs }: Amount) => ({
  content: BigInt(content),
  snapshots: BigInt(snapshots),
  logs: BigInt(logs),
});

/** Serves the references of objects, and what they amount to. */
export function garbageService(parts: GarbageParts): Service {
  const { db, collector } = parts;
  return service(api.Garbage, {
    explain: ({ target }, call) => {
      const { namespace } = scopeOf(call);
      const found = target === "" ? [] : matching(db, namespace, target);
      if (found.length === 0)
        throw new BerthError(
          "not_found",
          `${JSON.stringify(target)}: no such object in namespace ${namespace}`,
          {
            hint: "give a digest, or the name of a snapshot, an image, an ingest or an activation of mounts",
          },
        );
      const graph = new Graph(db, namespace, now());
      return {
        explanations: found.map((node) => ({
          object: show(node),
          chain: (graph.chainTo(node) ?? []).map(show),
        })),
      };
    },
    usage: async (_request, call) => {
      const { namespace } = scopeOf(call);
      const sizes = await sizesOf(parts, namespace);
      const { owners, unowned, total } = ownership(db, namespace, now(), sizes);
      return {
        owners: owners.map(({ node, own, shared }) => ({
          object: show(node),
          own: showAmount(own),
          shared: showAmount(shared),
        })),
        unowned: showAmount(unowned),
        total: showAmount(total),
      };
    },
    collect: async ({ dryRun }, call) => {
      const objects = nodesOf(collector.garbage(scopeOf(call).namespace)).map(show);
      if (!dryRun) await collector.run();
      return { objects };
    },
  });
}

/** The Garbage service: why an object is kept, and what would be collected. */
import { garbage as api } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { scopeOf } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
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

/** Digits of a digest below which it is not completed. */
const MIN_DIGITS = 8;

const KINDS: Readonly<Record<string, string>> = {
  containers: "container",
  images: "image",
  leases: "lease",
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

/** Serves the references in `db`. */
export function garbageService(db: Database, collector: Collector): Service {
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
    collect: async ({ dryRun }, call) => {
      const objects = nodesOf(collector.garbage(scopeOf(call).namespace)).map(show);
      if (!dryRun) await collector.run();
      return { objects };
    },
  });
}

/** The Snapshots service on the wire. */
import { snapshots, timestamp } from "@berth/api";
import { BerthError, stage } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { pathsOf } from "../../base/core/mask.ts";
import { scopeOf } from "../../base/core/scope.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import { ACTIVE, type SnapshotRecord, VIEW } from "../../objects/snapshots/rows.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";

const LIST_CHUNK = 100;
const KIND_NAMES: Readonly<Record<number, string>> = { 1: "view", 2: "active", 3: "committed" };

/** Serves `store`; `collector` collects what was held, once that has expired. */
export function snapshotsService(store: SnapshotStore, collector: Collector): Service {
  const show = (s: SnapshotRecord) => ({
    name: s.name,
    parent: s.parent,
    kind: s.kind as number as snapshots.Kind,
    createdAt: timestamp(BigInt(s.created)),
    updatedAt: timestamp(BigInt(s.updated)),
    labels: s.labels,
  });
  return service(snapshots.Snapshots, {
    prepare: ({ snapshotter, key, parent, labels }, call) => {
      const scope = scopeOf(call);
      // A container's snapshot usually has the container's name: its trace begins here.
      collector.expect(labels);
      return stage("snapshots.Prepare", { namespace: scope.namespace, container: key }, async () => ({
        mounts: await store.prepare(scope, snapshotter, { key, parent, labels, kind: ACTIVE }),
      }));
    },
    view: async ({ snapshotter, key, parent, labels }, call) => ({
      mounts: await store.prepare(scopeOf(call), snapshotter, { key, parent, labels, kind: VIEW }),
    }),
    mounts: async ({ snapshotter, key }, call) => ({
      mounts: await store.mounts({ ns: scopeOf(call).namespace, snapshotter }, key),
    }),
    commit: async ({ snapshotter, name, key, labels, parent }, call) => {
      await store.commit(scopeOf(call), snapshotter, { name, key, labels, parent });
      return {};
    },
    remove: async ({ snapshotter, key }, call) => {
      store.remove({ ns: scopeOf(call).namespace, snapshotter }, key);
      const made = store.snapshotter(snapshotter);
      if ("syncRemove" in made && made.syncRemove) await store.settled();
      return {};
    },
    stat: ({ snapshotter, key }, call) => ({
      info: show(store.stat({ ns: scopeOf(call).namespace, snapshotter }, key)),
    }),
    update: ({ snapshotter, info, updateMask }, call) => {
      if (info === undefined) throw new BerthError("invalid_argument", "info is missing: invalid argument");
      const where = { ns: scopeOf(call).namespace, snapshotter };
      return { info: show(store.update(where, info.name, info.labels, pathsOf(updateMask))) };
    },
    list: async function* ({ snapshotter, filters }, call) {
      const passes = await compileFilters(filters, (s: SnapshotRecord) =>
        fieldsOf({ name: s.name, parent: s.parent, kind: KIND_NAMES[s.kind]! }, s.labels),
      );
      const found = store.list({ ns: scopeOf(call).namespace, snapshotter }).filter(passes);
      for (let at = 0; at < found.length; at += LIST_CHUNK)
        yield { info: found.slice(at, at + LIST_CHUNK).map(show) };
    },
    usage: async ({ snapshotter, key }, call) => {
      const { size, inodes } = await store.usage({ ns: scopeOf(call).namespace, snapshotter }, key);
      return { size: BigInt(size), inodes: BigInt(inodes) };
    },
    cleanup: async ({ snapshotter }, call) => {
      scopeOf(call);
      store.snapshotter(snapshotter);
      await store.settled();
      return {};
    },
  });
}

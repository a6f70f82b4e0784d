/** The Introspection service: the daemon's parts, under containerd's plugin names. */
import * as fs from "node:fs";
import { introspection } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { hostPlatform } from "../../base/core/platform.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";

interface Plugin {
  type: string;
  id: string;
  requires?: string[];
  platforms?: { os: string; architecture: string }[];
  exports?: { [key: string]: string };
  capabilities?: string[];
  /** Why it is unavailable. */
  problem?: string;
}

const SERVICES = [
  "containers",
  "content",
  "diff",
  "events",
  "images",
  "introspection",
  "leases",
  "mounts",
  "namespaces",
];
const MORE_SERVICES = [
  "sandbox-controllers",
  "sandboxes",
  "snapshots",
  "tasks",
  "transfer",
  "streaming",
  "version",
];

function plugins(snapshots: SnapshotStore, root: string): Plugin[] {
  const { os, architecture } = hostPlatform();
  const platforms = [{ os, architecture }];
  return [
    { type: "io.containerd.content.v1", id: "content", exports: { root: `${root}/content` } },
    ...snapshots.drivers.map(({ name, unusable }): Plugin => {
      const base = { type: "io.containerd.snapshotter.v1", id: name, platforms };
      const exports = { root: `${root}/snapshots/${name}` };
      return unusable === undefined ? { ...base, exports } : { ...base, exports, problem: unusable };
    }),
    {
      type: "io.containerd.metadata.v1",
      id: "sqlite",
      requires: ["io.containerd.content.v1", "io.containerd.snapshotter.v1"],
      exports: { policy: "shared" },
    },
    { type: "io.containerd.differ.v1", id: "walking", requires: ["io.containerd.metadata.v1"], platforms },
    { type: "io.containerd.event.v1", id: "exchange" },
    { type: "io.containerd.gc.v1", id: "scheduler", requires: ["io.containerd.metadata.v1"] },
    { type: "io.containerd.lease.v1", id: "manager", requires: ["io.containerd.metadata.v1"] },
    { type: "io.containerd.mount-handler.v1", id: "loop" },
    {
      type: "io.containerd.mount-manager.v1",
      id: "sqlite",
      requires: ["io.containerd.metadata.v1", "io.containerd.mount-handler.v1"],
    },
    { type: "io.containerd.sandbox.store.v1", id: "local", requires: ["io.containerd.metadata.v1"] },
    { type: "io.containerd.sandbox.controller.v1", id: "shim" },
    { type: "io.containerd.streaming.v1", id: "manager" },
    {
      type: "io.containerd.transfer.v1",
      id: "local",
      requires: ["io.containerd.metadata.v1", "io.containerd.differ.v1"],
    },
    { type: "io.containerd.runtime.v2", id: "task", requires: ["io.containerd.metadata.v1"], platforms },
    ...[...SERVICES, ...MORE_SERVICES, "healthcheck"].map((id) => ({ type: "io.containerd.grpc.v1", id })),
  ];
}

/** Serves facts about the daemon; `uuid` is stable for a root directory. */
export function introspectionService(snapshots: SnapshotStore, root: string, uuid: string): Service {
  const all = plugins(snapshots, root).map(({ problem, ...plugin }) => ({
    ...plugin,
    ...(problem === undefined ? {} : { initErr: { code: 14, message: problem } }),
  }));
  return service(introspection.Introspection, {
    plugins: ({ filters }) => {
      const passes = compileFilters(filters, (p: Plugin) =>
        fieldsOf({ type: p.type, id: p.id, capabilities: p.capabilities?.join(",") ?? "" }),
      );
      return { plugins: all.filter(passes) };
    },
    server: () => ({ uuid, pid: BigInt(process.pid), pidns: pidNamespace() }),
    pluginInfo: ({ type, id, options }) => {
      const plugin = all.find((p) => p.type === type && p.id === id);
      if (plugin === undefined) throw new BerthError("not_found", `plugin ${type}.${id}: not found`);
      if (options !== undefined)
        throw new BerthError("unimplemented", `plugin ${type}.${id} takes no options: not implemented`);
      return { plugin };
    },
  });
}

function pidNamespace(): bigint {
  const match = /\[(\d+)\]/.exec(fs.readlinkSync("/proc/self/ns/pid"));
  return BigInt(match?.[1] ?? 0);
}

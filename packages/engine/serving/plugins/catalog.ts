/** The daemon's parts under containerd's types and ids: clients look for them to learn what a daemon can do. */
import { RESTART_POLICIES } from "@berth/api";
import type { Service } from "@berth/rpc";
import { hostPlatform } from "../../base/core/platform.ts";
import type { Plugin } from "./registry.ts";

const METADATA = "io.containerd.metadata.v1";
const CONTENT = "io.containerd.content.v1";
const SNAPSHOTTER = "io.containerd.snapshotter.v1";
const DIFFER = "io.containerd.differ.v1";
const EVENT = "io.containerd.event.v1";
const LEASE = "io.containerd.lease.v1";
const SHIM = "io.containerd.shim.v1";
const RUNTIME = "io.containerd.runtime.v2";
const MOUNT_HANDLER = "io.containerd.mount-handler.v1";
const MOUNT_MANAGER = "io.containerd.mount-manager.v1";
const SANDBOX_STORE = "io.containerd.sandbox.store.v1";
const SANDBOX_CONTROLLER = "io.containerd.sandbox.controller.v1";
const STREAMING = "io.containerd.streaming.v1";
const TRANSFER = "io.containerd.transfer.v1";
const GRPC = "io.containerd.grpc.v1";

function platforms() {
  const { os, architecture } = hostPlatform();
  return [{ os, architecture }];
}

/** The plugin that answers PluginInfo with a runtime's description. */
export const RUNTIME_PLUGIN = { type: RUNTIME, id: "task" } as const;

/** Parts that every daemon has: nothing works without them. */
export function coreParts(root: string, sharing: string): readonly Plugin[] {
  return [
    { type: EVENT, id: "exchange" },
    { type: CONTENT, id: "content", exports: { root: `${root}/content` } },
    { type: METADATA, id: "bolt", requires: [CONTENT, EVENT], exports: { policy: sharing } },
    { type: "io.containerd.gc.v1", id: "scheduler", requires: [METADATA] },
    { type: LEASE, id: "manager", requires: [METADATA] },
    { type: SHIM, id: "manager", requires: [EVENT, METADATA] },
    { ...RUNTIME_PLUGIN, requires: [SHIM], platforms: platforms() },
    {
      type: "io.containerd.monitor.container.v1",
      id: "restart",
      requires: [EVENT, RUNTIME],
      capabilities: RESTART_POLICIES,
    },
    { type: "io.containerd.monitor.task.v1", id: "cgroups", requires: [EVENT], platforms: platforms() },
  ];
}

/** Parts that the settings may leave out, with the services that need them. */
export function optionalParts(): readonly Plugin[] {
  return [
    { type: DIFFER, id: "walking", requires: [METADATA], platforms: platforms() },
    { type: MOUNT_HANDLER, id: "loop" },
    { type: MOUNT_MANAGER, id: "bolt", requires: [METADATA, MOUNT_HANDLER] },
    { type: SANDBOX_STORE, id: "local", requires: [METADATA] },
    { type: SANDBOX_CONTROLLER, id: "shim", requires: [SHIM] },
    { type: STREAMING, id: "manager", requires: [METADATA] },
    { type: "io.containerd.image-verifier.v1", id: "bindir" },
    { type: TRANSFER, id: "local", requires: [METADATA, DIFFER] },
  ];
}

/** A snapshotter. */
export function snapshotterPlugin(id: string, root: string): Plugin {
  return { type: SNAPSHOTTER, id, platforms: platforms(), exports: { root } };
}

/** Ids of services whose plugin is not named after the service's package. */
const SERVICE_IDS: Readonly<Record<string, string>> = {
  "containerd.services.sandbox.v1.Store": "sandboxes",
  "containerd.services.sandbox.v1.Controller": "sandbox-controllers",
  "grpc.health.v1.Health": "healthcheck",
};
/** Parts without which a service cannot answer, by the service's plugin. */
const SERVICE_REQUIRES: Readonly<Record<string, readonly string[]>> = {
  diff: [DIFFER],
  mounts: [MOUNT_MANAGER],
  sandboxes: [SANDBOX_STORE],
  "sandbox-controllers": [SANDBOX_CONTROLLER, SANDBOX_STORE],
  snapshots: [SNAPSHOTTER],
  streaming: [STREAMING],
  transfer: [TRANSFER],
};

/** The plugin of a service; undefined for berth's own services, which containerd's clients do not know. */
export function servicePlugin({ desc: { typeName } }: Service): Plugin | undefined {
  const id = SERVICE_IDS[typeName] ?? /^containerd\.services\.(\w+)\.v\d+\./.exec(typeName)?.[1];
  return id === undefined ? undefined : { type: GRPC, id, requires: SERVICE_REQUIRES[id] ?? [] };
}

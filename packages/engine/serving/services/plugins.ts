/** The daemon's parts as containerd's plugins: what clients look for to learn what a daemon can do. */
import { RESTART_POLICIES } from "@berth/api";
import type { Service } from "@berth/rpc";
import { hostPlatform } from "../../base/core/platform.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";

/** A plugin as Introspection shows it. */
export interface Plugin {
  type: string;
  id: string;
  /** Types of the plugins that it uses. */
  requires?: readonly string[];
  platforms?: readonly { os: string; architecture: string }[];
  exports?: Readonly<Record<string, string>>;
  capabilities?: readonly string[];
  /** Why it is unavailable. */
  problem?: string;
}

/** The plugin that answers PluginInfo with a runtime's description. */
export const RUNTIME_PLUGIN = { type: "io.containerd.runtime.v2", id: "task" } as const;

const METADATA = "io.containerd.metadata.v1";
const CONTENT = "io.containerd.content.v1";
const SNAPSHOTTER = "io.containerd.snapshotter.v1";
const DIFFER = "io.containerd.differ.v1";
const RUNTIME = RUNTIME_PLUGIN.type;
const EVENT = "io.containerd.event.v1";
const MOUNT_HANDLER = "io.containerd.mount-handler.v1";
const GRPC = "io.containerd.grpc.v1";

/** Ids of services whose plugin is not named after the service's package. */
const SERVICE_IDS: Readonly<Record<string, string>> = {
  "containerd.services.sandbox.v1.Store": "sandboxes",
  "containerd.services.sandbox.v1.Controller": "sandbox-controllers",
  "grpc.health.v1.Health": "healthcheck",
};

/** The plugin of a service; undefined for berth's own services, which containerd's clients do not know. */
function pluginOf({ desc: { typeName } }: Service): Plugin | undefined {
  const id = SERVICE_IDS[typeName] ?? /^containerd\.services\.(\w+)\.v\d+\./.exec(typeName)?.[1];
  return id === undefined ? undefined : { type: GRPC, id };
}

/** The plugins of a daemon that serves `services` below `root`. */
export function pluginsOf(
  services: readonly Service[],
  snapshots: SnapshotStore,
  root: string,
): readonly Plugin[] {
  const { os, architecture } = hostPlatform();
  const platforms = [{ os, architecture }];
  return [
    { type: CONTENT, id: "content", exports: { root: `${root}/content` } },
    ...snapshots.drivers.map(({ name, unusable }): Plugin => {
      const exports = { root: `${root}/snapshots/${name}` };
      const plugin = { type: SNAPSHOTTER, id: name, platforms, exports };
      // Clients take every other message for a failure of the daemon.
      return unusable === undefined ? plugin : { ...plugin, problem: `${unusable}: skip plugin` };
    }),
    { type: METADATA, id: "bolt", requires: [CONTENT, EVENT, SNAPSHOTTER], exports: { policy: "shared" } },
    { type: DIFFER, id: "walking", requires: [METADATA], platforms },
    { type: EVENT, id: "exchange" },
    { type: "io.containerd.gc.v1", id: "scheduler", requires: [METADATA] },
    { type: "io.containerd.lease.v1", id: "manager", requires: [METADATA] },
    { type: "io.containerd.sandbox.store.v1", id: "local", requires: [METADATA] },
    { type: "io.containerd.sandbox.controller.v1", id: "shim", requires: ["io.containerd.shim.v1"] },
    { type: "io.containerd.streaming.v1", id: "manager", requires: [METADATA] },
    { type: "io.containerd.transfer.v1", id: "local", requires: [METADATA, DIFFER] },
    { type: "io.containerd.shim.v1", id: "manager", requires: [EVENT, METADATA] },
    { ...RUNTIME_PLUGIN, requires: ["io.containerd.shim.v1"], platforms },
    { type: "io.containerd.monitor.task.v1", id: "cgroups", requires: [EVENT], platforms },
    {
      type: "io.containerd.monitor.container.v1",
      id: "restart",
      requires: [EVENT, RUNTIME],
      capabilities: RESTART_POLICIES,
    },
    { type: MOUNT_HANDLER, id: "loop" },
    { type: "io.containerd.mount-manager.v1", id: "bolt", requires: [METADATA, MOUNT_HANDLER] },
    ...services.flatMap((service) => pluginOf(service) ?? []),
  ];
}

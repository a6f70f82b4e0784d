/** What tasks are made of: the stores and services that the task manager uses. */
import type { LogRotation } from "@berth/runtime";
import type { ForeignSandboxes } from "@berth/shim";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { Database } from "../../base/store/database.ts";
import type { ContainerStore } from "../../objects/containers/container-store.ts";
import type { SandboxStore } from "../../objects/sandboxes/sandbox-store.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";
import type { Activations } from "../mounts/activations.ts";
import type { Checkpoints } from "./checkpoints.ts";
import type { BUILT_IN } from "./runtime.ts";

/** The stores that tasks use. */
export interface TaskStores {
  db: Database;
  containers: ContainerStore;
  snapshots: SnapshotStore;
  events: EventBus;
  /** Sandboxes, and those that run; without them, containers are in none. */
  sandboxes?: SandboxStore;
  controller?: () => Promise<ForeignSandboxes>;
  /** Mounts that the daemon makes for a task; without them, its shim has to make all. */
  activations?: () => Promise<Activations>;
  /** Folder of containers' logs. */
  logs: string;
  /** CRIU images; without them, checkpointing is unavailable. */
  checkpoints?: Checkpoints;
  /** Default limits of logs; none: unlimited. */
  rotation?: LogRotation;
  /** Runtime names that select berth's own; default: {@link BUILT_IN}. */
  builtIn?: typeof BUILT_IN;
}

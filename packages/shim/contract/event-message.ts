/** Converts the shim's events to containerd's messages, `containerd.events.*`. */
import { pack } from "@berth/api/any";
import * as eventTypes from "@berth/api/eventTypes";
import { timestamp } from "@berth/api/time";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { TaskEvent } from "./task-shim.ts";

/** Packs an event as containerd does, with the bare name of its type. */
export function eventMessage(event: TaskEvent): Any {
  const { id: containerId } = event;
  switch (event.topic) {
    case "/tasks/create":
      return pack(eventTypes.TaskCreateSchema, {
        containerId,
        bundle: event.bundle,
        pid: event.pid,
        io: event.stdio,
        rootfs: event.rootfs.map((m) => ({ ...m, target: m.target ?? "", options: [...m.options] })),
      });
    case "/tasks/start":
      return pack(eventTypes.TaskStartSchema, { containerId, pid: event.pid });
    case "/tasks/exit":
      return pack(eventTypes.TaskExitSchema, {
        containerId,
        id: event.execId || containerId,
        pid: event.pid,
        exitStatus: event.exitStatus,
        exitedAt: timestamp(event.exitedAt),
      });
    case "/tasks/delete":
      return pack(eventTypes.TaskDeleteSchema, {
        containerId,
        id: event.execId,
        pid: event.pid,
        exitStatus: event.exitStatus,
        exitedAt: timestamp(event.exitedAt),
      });
    case "/tasks/exec-added":
      return pack(eventTypes.TaskExecAddedSchema, { containerId, execId: event.execId });
    case "/tasks/exec-started":
      return pack(eventTypes.TaskExecStartedSchema, { containerId, execId: event.execId, pid: event.pid });
    case "/tasks/paused":
      return pack(eventTypes.TaskPausedSchema, { containerId });
    case "/tasks/resumed":
      return pack(eventTypes.TaskResumedSchema, { containerId });
    case "/tasks/checkpointed":
      return pack(eventTypes.TaskCheckpointedSchema, { containerId, checkpoint: event.path });
    case "/tasks/oom":
      return pack(eventTypes.TaskOOMSchema, { containerId });
  }
}

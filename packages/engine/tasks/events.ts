/** The shim's events as containerd's messages. */
import { eventTypes } from "@berth/api";
import type { TaskEvent } from "@berth/shim";
import { timestamp } from "../core/time.ts";
import type { EventBus } from "../events/local.ts";

/** Publishes an event of the shim. */
export function publishTaskEvent(bus: EventBus, event: TaskEvent): void {
  const { namespace, id: containerId, topic } = event;
  switch (topic) {
    case "/tasks/create":
      bus.emit(namespace, topic, eventTypes.TaskCreateSchema, {
        containerId,
        bundle: event.bundle,
        pid: event.pid,
        io: event.stdio,
        rootfs: event.rootfs.map((m) => ({ ...m, target: m.target ?? "", options: [...m.options] })),
      });
      return;
    case "/tasks/start":
      bus.emit(namespace, topic, eventTypes.TaskStartSchema, { containerId, pid: event.pid });
      return;
    case "/tasks/exit":
      bus.emit(namespace, topic, eventTypes.TaskExitSchema, {
        containerId,
        id: event.execId || containerId,
        pid: event.pid,
        exitStatus: event.exitStatus,
        exitedAt: timestamp(event.exitedAt),
      });
      return;
    case "/tasks/delete":
      bus.emit(namespace, topic, eventTypes.TaskDeleteSchema, {
        containerId,
        id: event.execId,
        pid: event.pid,
        exitStatus: event.exitStatus,
        exitedAt: timestamp(event.exitedAt),
      });
      return;
    case "/tasks/exec-added":
      bus.emit(namespace, topic, eventTypes.TaskExecAddedSchema, { containerId, execId: event.execId });
      return;
    case "/tasks/exec-started":
      bus.emit(namespace, topic, eventTypes.TaskExecStartedSchema, {
        containerId,
        execId: event.execId,
        pid: event.pid,
      });
      return;
    case "/tasks/paused":
      bus.emit(namespace, topic, eventTypes.TaskPausedSchema, { containerId });
      return;
    case "/tasks/resumed":
      bus.emit(namespace, topic, eventTypes.TaskResumedSchema, { containerId });
      return;
    case "/tasks/checkpointed":
      bus.emit(namespace, topic, eventTypes.TaskCheckpointedSchema, { containerId, checkpoint: event.path });
      return;
    default:
      bus.emit(namespace, topic, eventTypes.TaskOOMSchema, { containerId });
  }
}

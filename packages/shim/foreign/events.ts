/** Events from shims. */
import { eventTypes } from "@berth/api";
import { nanoseconds } from "@berth/api/time";
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { TaskEvent } from "../contract/task-shim.ts";

/** Converts containerd's message to an event; undefined if the topic is unknown. */
export function taskEventOf(namespace: string, topic: string, event: Any): TaskEvent | undefined {
  const read = <D extends DescMessage>(schema: D): MessageShape<D> => fromBinary(schema, event.value);
  switch (topic) {
    case "/tasks/create": {
      const { containerId: id, pid, bundle, io, rootfs } = read(eventTypes.TaskCreateSchema);
      const { stdin = "", stdout = "", stderr = "", terminal = false } = io ?? {};
      return { topic, namespace, id, pid, bundle, stdio: { stdin, stdout, stderr, terminal }, rootfs };
    }
    case "/tasks/start": {
      const { containerId: id, pid } = read(eventTypes.TaskStartSchema);
      return { topic, namespace, id, pid };
    }
    case "/tasks/exit":
    case "/tasks/delete": {
      const schema = topic === "/tasks/exit" ? eventTypes.TaskExitSchema : eventTypes.TaskDeleteSchema;
      const m = read<typeof schema>(schema);
      const execId = m.id === m.containerId ? "" : m.id;
      const exitedAt = nanoseconds(m.exitedAt) ?? 0n;
      return { topic, namespace, id: m.containerId, execId, pid: m.pid, exitStatus: m.exitStatus, exitedAt };
    }
    case "/tasks/exec-added": {
      const { containerId: id, execId } = read(eventTypes.TaskExecAddedSchema);
      return { topic, namespace, id, execId };
    }
    case "/tasks/exec-started": {
      const { containerId: id, execId, pid } = read(eventTypes.TaskExecStartedSchema);
      return { topic, namespace, id, execId, pid };
    }
    case "/tasks/paused":
    case "/tasks/resumed":
      return { topic, namespace, id: read(eventTypes.TaskPausedSchema).containerId };
    case "/tasks/oom":
      return { topic, namespace, id: read(eventTypes.TaskOOMSchema).containerId, cgroup: undefined };
    case "/tasks/checkpointed": {
      const { containerId: id, checkpoint: path } = read(eventTypes.TaskCheckpointedSchema);
      return { topic, namespace, id, path };
    }
    default:
      return undefined;
  }
}

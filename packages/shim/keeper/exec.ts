/** exec: adds a process to a container; start launches it. */
import { BerthError } from "@berth/base";
import type { ExecTask } from "../contract/task-shim.ts";
import type { ShimContext } from "./context.ts";
import { checkName } from "./folders.ts";
import { KeeperProcess } from "./keeper-process.ts";
import { streamsOf } from "./stdio.ts";

const text = new TextDecoder();

/** See {@link TaskShim.exec}. */
export function exec(shim: ShimContext, request: ExecTask): void {
  const task = shim.task(request);
  const { execId, stdio } = request;
  checkName("exec id", execId);
  if (task.processes.has(execId))
    throw new BerthError("already_exists", `id ${execId}: already exists`, { stage: "exec" });
  const init = task.processes.get("");
  if (init?.status === "stopped" || init?.deleting !== undefined) {
    throw new BerthError("failed_precondition", "cannot exec in a stopped container", { stage: "exec" });
  }
  streamsOf(stdio);
  const record = shim.newRecord(execId, stdio);
  record.process = text.decode(request.process);
  shim.save(task, record);
  task.processes.set(execId, new KeeperProcess(record));
  shim.emit({ topic: "/tasks/exec-added", namespace: task.namespace, id: task.id, execId });
}

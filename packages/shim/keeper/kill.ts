/** kill: signals a process, or all of a container. */
import { BerthError, isCode, SIGKILL } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { ProcessRef } from "../contract/task-shim.ts";
import type { ShimContext } from "./context.ts";
import type { KeeperProcess } from "./keeper-process.ts";

/** containerd's error: clients that stop a container twice rely on "not found". */
function finished(cause?: unknown): BerthError {
  return new BerthError("not_found", "process already finished", {
    stage: "kill",
    ...(cause === undefined ? {} : { cause }),
  });
}

/** See {@link TaskShim.kill}. */
export async function kill(shim: ShimContext, ref: ProcessRef, signal: number, all: boolean): Promise<void> {
  const { task, process } = shim.process(ref);
  if (process.status === "stopped" && !all) throw finished();
  if (process.record.execId !== "") {
    await killExec(shim, process, signal);
    if (signal === SIGKILL && (await runtime.thaw(shim.runtimeOf(task), task.id)))
      shim.emit({ topic: "/tasks/resumed", namespace: task.namespace, id: task.id });
    return;
  }
  await runtime.kill(shim.runtimeOf(task), task.id, signal, all).catch((error: unknown) => {
    if (isCode(error, "failed_precondition")) throw finished(error);
    throw error;
  });
}

async function killExec(shim: ShimContext, process: KeeperProcess, signal: number): Promise<void> {
  const { record, link } = process;
  if (record.pid === 0) throw new BerthError("failed_precondition", "process not created", { stage: "kill" });
  if (link === undefined) throw finished();
  try {
    // The keeper is the parent: as long as it has not reaped the process, the pid cannot be reused.
    await link.command(`KILL ${signal}`);
  } catch (error) {
    const { code, errno } = BerthError.from(error);
    if (code === "not_found") throw finished(error);
    if (errno !== "EINVAL") throw error;
    // A keeper of an earlier version.
    if (!shim.isSame(record) || !shim.sys.kill(record.pid, signal)) throw finished(error);
  }
}

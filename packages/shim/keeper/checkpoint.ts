/** checkpoint: CRIU writes a container's processes to a folder. */
import { BerthError, stage } from "@berth/base";
import type { CheckpointTask, ProcessRef } from "../contract/task-shim.ts";
import type { ShimContext } from "./context.ts";

/** See {@link TaskShim.checkpoint}. */
export async function checkpointTask(
  shim: ShimContext,
  ref: ProcessRef,
  request: CheckpointTask,
): Promise<void> {
  const { task, process } = shim.process({ namespace: ref.namespace, id: ref.id });
  const { namespace, id } = task;
  const path = request.path || task.options.criuImagePath;
  if (!path?.startsWith("/"))
    throw new BerthError(
      "invalid_argument",
      `path: found ${JSON.stringify(path ?? "")}, expected the absolute path of the folder for the image`,
      { stage: "checkpoint" },
    );
  // Rarely used, so loaded on use.
  const { cgroupMode, checkpoint, emptyNamespaces } = await import("@berth/runtime/checkpoint");
  await stage("runtime checkpoint", { id }, () =>
    checkpoint(shim.runtimeOf(task), id, {
      imagePath: path,
      workPath: request.workPath || task.options.criuWorkPath || undefined,
      tcpEstablished: request.openTcp ?? false,
      externalUnixSockets: request.externalUnixSockets ?? false,
      shellJob: request.terminal ?? false,
      fileLocks: request.fileLocks ?? false,
      leaveRunning: !request.exit,
      emptyNamespaces: emptyNamespaces(request.emptyNamespaces ?? []),
      cgroupMode: cgroupMode(request.cgroupsMode),
      networkLock: undefined,
      parentPath: request.parentPath || undefined,
      pageServer: undefined,
      statusFd: undefined,
      preDump: false,
      autoDedup: false,
      lazyPages: false,
      linkRemap: false,
      tcpSkipInFlight: false,
    }),
  );
  // Its keeper reports the exit; the caller expects it to have ended.
  if (request.exit) await process.wait();
  shim.emit({ topic: "/tasks/checkpointed", namespace, id, path });
}

/** A checkpoint as the shim is asked for it. */
import type { runc } from "@berth/api";
import type { CheckpointTask } from "@berth/shim";

/** Converts containerd's options to the shim's request. */
export function checkpointRequest(path: string, wanted: runc.CheckpointOptions | undefined): CheckpointTask {
  if (wanted === undefined) return { path, exit: false };
  const { exit, openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces } = wanted;
  const { cgroupsMode, workPath, parentPath } = wanted;
  return {
    ...{ path, exit, openTcp, externalUnixSockets, terminal, fileLocks },
    ...{ emptyNamespaces, cgroupsMode, workPath, parentPath },
  };
}

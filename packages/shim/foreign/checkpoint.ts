/** Options of a checkpoint for runc's shim. */

import { pack, runc } from "@berth/api";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { CheckpointTask } from "../contract/task-shim.ts";

/** Packs a request as containerd.runc.v1.CheckpointOptions. */
export function checkpointOptions(request: CheckpointTask): Any {
  const { exit, openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces, workPath } = request;
  return pack(runc.CheckpointOptionsSchema, {
    exit,
    openTcp: openTcp ?? false,
    externalUnixSockets: externalUnixSockets ?? false,
    terminal: terminal ?? false,
    fileLocks: fileLocks ?? false,
    emptyNamespaces: [...(emptyNamespaces ?? [])],
    cgroupsMode: request.cgroupsMode ?? "",
    workPath: workPath ?? "",
    parentPath: request.parentPath ?? "",
  });
}

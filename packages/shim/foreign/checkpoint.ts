/** What a checkpoint is to be like, as runc's shim takes it. */
import { runc } from "@berth/api";
import { create, toBinary } from "@bufbuild/protobuf";
import type { CheckpointTask, PackedMessage } from "../contract/task-shim.ts";

/** A request as containerd.runc.v1.CheckpointOptions. */
export function checkpointOptions(request: CheckpointTask): PackedMessage {
  const { exit, openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces, workPath } = request;
  const message = create(runc.CheckpointOptionsSchema, {
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
  return {
    typeUrl: runc.CheckpointOptionsSchema.typeName,
    value: toBinary(runc.CheckpointOptionsSchema, message),
  };
}

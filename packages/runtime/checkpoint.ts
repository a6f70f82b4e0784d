/** Checkpoint and restore, loaded by those few who need CRIU. */

export { checkpoint } from "./checkpoint/checkpoint.ts";
export { restore } from "./checkpoint/restore.ts";
export { type CheckpointSettings, cgroupMode, emptyNamespaces } from "./checkpoint/settings.ts";

/** runc's verbs as functions. Checkpoint, `explain` and `features` are separate entry points. */
export { isFrozen } from "./cgroups/freezer.ts";
export { readLayout } from "./cgroups/layout.ts";
export { type CgroupPaths, cgroupFolders, pathsBelow } from "./cgroups/paths.ts";
export { cgroupPids, removeCgroup } from "./cgroups/processes.ts";
export { parseSubCgroups } from "./cgroups/sub.ts";
export { readBundle } from "./container/bundle.ts";
export { create } from "./container/create.ts";
export { remove } from "./container/delete.ts";
export { type ContainerEvent, follow, stats } from "./container/events.ts";
export { type ExecOptions, exec, execProcess } from "./container/exec.ts";
export { runPoststart } from "./container/hooks.ts";
export { kill, thaw } from "./container/kill.ts";
export { checkTerminal, type LaunchSettings } from "./container/launch-settings.ts";
export { type ContainerInfo, inspect, list, pids } from "./container/list.ts";
export { changeMounts, parseMounts } from "./container/mounts.ts";
export { defaultRoot, ownerOf } from "./container/owner.ts";
export { pause, resume } from "./container/pause.ts";
export type { Additions, CreateOptions } from "./container/plan-container.ts";
export { start } from "./container/start.ts";
export { update, updateRdt, updateResources } from "./container/update.ts";
export type { Launched } from "./launch/launch.ts";
export { type SandboxOptions, startSandbox } from "./launch/sandbox.ts";
export type { Attachment } from "./plan/launch-plan.ts";
export { bindAttributes, type MountOptions, parseMountOptions } from "./plan/mount-options.ts";
export type { RootMount } from "./plan/rootfs.ts";
export type { LogRotation, Stream, Streams } from "./plan/streams.ts";
export { checkRdt } from "./rdt/change.ts";
export {
  type ContainerRecord,
  checkId,
  containerFiles,
  isAlive,
  processStat,
  readCreatedSpec,
  readRecord,
} from "./state/record.ts";
export { openRuntime, type Runtime } from "./state/runtime.ts";

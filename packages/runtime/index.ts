/** The door of `packages/runtime`: runc's verbs as functions. The command line and `explain` are loaded late. */
export { readLayout } from "./cgroups/layout.ts";
export { type CgroupPaths, cgroupFolders } from "./cgroups/paths.ts";
export { cgroupPids } from "./cgroups/processes.ts";
export { openRuntime, type Runtime } from "./container/context.ts";
export { type CreateOptions, create } from "./container/create.ts";
export { remove } from "./container/delete.ts";
export { type ExecOptions, exec } from "./container/exec.ts";
export { kill } from "./container/kill.ts";
export { type ContainerInfo, inspect, list, pids } from "./container/list.ts";
export { pause, resume } from "./container/pause.ts";
export { type SandboxOptions, startSandbox } from "./container/sandbox.ts";
export { start } from "./container/start.ts";
export { update } from "./container/update.ts";
export type { Launched } from "./launch/launch.ts";
export type { Attachment } from "./plan/launch-plan.ts";
export type { RootMount } from "./plan/rootfs.ts";
export type { Stream, Streams } from "./plan/streams.ts";
export { type ContainerRecord, isAlive, processStat, readRecord } from "./state/record.ts";

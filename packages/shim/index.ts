/** The door of `packages/shim`: the Task service, over keepers and over foreign shims. */
export { eventMessage } from "./contract/event-message.ts";
export { foreignProgram, readTaskOptions } from "./contract/options.ts";
export { routeTasks } from "./contract/router.ts";
export { ownRuntimeInfo } from "./contract/runtime-info.ts";
export type * from "./contract/task-shim.ts";
export { foreignRuntimeInfo } from "./foreign/binary.ts";
export { taskEventOf } from "./foreign/events.ts";
export {
  type CreateSandbox,
  ForeignSandboxes,
  type SandboxExit,
  type SandboxRef,
} from "./foreign/sandboxes.ts";
export { type ForeignOptions, ForeignShims } from "./foreign/shim.ts";
export { createTaskShim, type ShimOptions } from "./keeper/shim.ts";

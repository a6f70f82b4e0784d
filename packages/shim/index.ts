/** The door of `packages/shim`: the Task service over keepers. */
export { eventMessage } from "./event-message.ts";
export { type ForeignOptions, ForeignShims } from "./foreign/shim.ts";
export { readTaskOptions } from "./options.ts";
export { routeTasks } from "./router.ts";
export { createTaskShim, type ShimOptions } from "./shim.ts";
export type * from "./task-shim.ts";

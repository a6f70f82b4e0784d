/** The door of `packages/shim`: the Task service over keepers. */
export { eventMessage } from "./event-message.ts";
export { readTaskOptions } from "./options.ts";
export { createTaskShim, type ShimOptions } from "./shim.ts";
export type * from "./task-shim.ts";

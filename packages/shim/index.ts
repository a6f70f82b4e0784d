/** The door of `packages/shim`: the Task service over keepers. */
export { readTaskOptions } from "./options.ts";
export { createTaskShim, type ShimOptions } from "./shim.ts";
export type * from "./task-shim.ts";

/** The door of `packages/sys`. */

export { FakeSys } from "./fake.ts";
export * as linux from "./linux/index.ts";
export { commandSys, exitNow, realSys } from "./linux/real.ts";
export type { FileInfo, FileKind, SpawnOptions, Sys } from "./sys.ts";

/** The door of `packages/sys`. */

export { type FakeFile, FakeSys } from "./fake.ts";
export { FakePeer } from "./fake-peer.ts";
export { DEFAULT_PATH, findProgram, searchPath } from "./find-program.ts";
export * as linux from "./linux/index.ts";
export { commandSys, exitNow, realSys } from "./linux/real.ts";
export type {
  FileInfo,
  FileKind,
  LineChannel,
  LineEvents,
  RunOptions,
  RunResult,
  SpawnOptions,
  Sys,
} from "./sys.ts";

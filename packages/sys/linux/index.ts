/** Linux as berth sees it: thin, typed wrappers of system calls, by topic. */
export * from "./abi.ts";
export { errnoName, libraryFolder, rawSyscall, syscall, syscallAsync, syscallError } from "./binding.ts";
export { createSubvolume, destroySubvolume } from "./btrfs.ts";
export * from "./files.ts";
export { attachLoop, backingFileOf, detachLoop, keepLoop, type LoopDevice } from "./loop.ts";
export * from "./mounts.ts";
export * from "./processes.ts";
export { peerPid } from "./sockets.ts";

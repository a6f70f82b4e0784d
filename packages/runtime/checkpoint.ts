/** Checkpoint and restore: a separate entry point, since few callers need CRIU. */
export { checkpoint } from "./container/checkpoint.ts";
export { restore, waitRestored } from "./container/restore.ts";
export { relayTerminal } from "./criu/console.ts";
export {
  type CheckpointSettings,
  type CriuSettings,
  cgroupMode,
  emptyNamespaces,
  networkLock,
  pageServer,
} from "./criu/settings.ts";

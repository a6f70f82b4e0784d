/** The door of `packages/engine`: the daemon, to be started by `berthd` or embedded. */
export { type Config, type ConfigFlags, loadConfig, parseConfig } from "./config/config.ts";
export { type Daemon, type DaemonParts, startDaemon } from "./daemon.ts";
export { main } from "./main.ts";
export { AUTO_REMOVE } from "./tasks/auto-removal.ts";
export { EXIT_CODE, FINISHED_AT } from "./tasks/exit-labels.ts";

/** The door of `packages/engine`: the daemon, started by `berthd` or embedded. */
export { type Config, type ConfigFlags, loadConfig, parseConfig } from "./serving/config/config.ts";
export { type Daemon, type DaemonParts, startDaemon } from "./serving/daemon.ts";
export { main } from "./serving/main.ts";

/** All commands: a help line, and a loader of the code, which is imported on demand. */
import type { Command } from "./command.ts";

/** An entry of the list of commands. */
export interface Entry {
  summary: string;
  load: () => Promise<Command>;
}

// A flag table is part of a command's type; a caller that only has its name sees all commands as one type.
const as = (loaded: Promise<{ default: unknown }>): Promise<Command> =>
  loaded.then((m) => m.default as Command);

/** Commands by name, in the order of the help. */
export const COMMANDS: Readonly<Record<string, Entry>> = {
  run: {
    summary: "Create a container from an image and run it",
    load: () => as(import("./commands/run.ts")),
  },
  create: {
    summary: "Create a container without starting it",
    load: () => as(import("./commands/create.ts")),
  },
  start: { summary: "Start stopped containers", load: () => as(import("./commands/start.ts")) },
  stop: {
    summary: "Stop containers: signal, grace period, SIGKILL",
    load: () => as(import("./commands/stop.ts")),
  },
  restart: { summary: "Stop and start containers", load: () => as(import("./commands/restart.ts")) },
  update: {
    summary: "Change the restart policy of containers",
    load: () => as(import("./commands/update.ts")),
  },
  kill: { summary: "Send a signal to containers", load: () => as(import("./commands/kill.ts")) },
  pause: { summary: "Freeze all processes of containers", load: () => as(import("./commands/pause.ts")) },
  unpause: { summary: "Let paused containers go on", load: () => as(import("./commands/unpause.ts")) },
  rm: { summary: "Remove containers", load: () => as(import("./commands/rm.ts")) },
  ps: { summary: "List containers", load: () => as(import("./commands/ps.ts")) },
  exec: { summary: "Run a command in a running container", load: () => as(import("./commands/exec.ts")) },
  logs: { summary: "Show what a container wrote", load: () => as(import("./commands/logs.ts")) },
  inspect: {
    summary: "Show everything about containers or images",
    load: () => as(import("./commands/inspect.ts")),
  },
  wait: {
    summary: "Wait for containers to end, print their exit codes",
    load: () => as(import("./commands/wait.ts")),
  },
  stats: { summary: "Show what containers use", load: () => as(import("./commands/stats.ts")) },
  top: { summary: "List the processes of a container", load: () => as(import("./commands/top.ts")) },
  images: { summary: "List images", load: () => as(import("./commands/images.ts")) },
  pull: { summary: "Fetch an image from a registry", load: () => as(import("./commands/pull.ts")) },
  push: { summary: "Send an image to a registry", load: () => as(import("./commands/push.ts")) },
  load: { summary: "Read images from an archive", load: () => as(import("./commands/load.ts")) },
  save: { summary: "Write images to an archive", load: () => as(import("./commands/save.ts")) },
  tag: { summary: "Give an image a second name", load: () => as(import("./commands/tag.ts")) },
  rmi: { summary: "Remove images", load: () => as(import("./commands/rmi.ts")) },
  events: {
    summary: "Show events, also those that have happened",
    load: () => as(import("./commands/events.ts")),
  },
  why: {
    summary: "Show what keeps a blob, a snapshot or an image from being removed",
    load: () => as(import("./commands/why.ts")),
  },
  df: {
    summary: "Show who owns how much of the disk",
    load: () => as(import("./commands/df.ts")),
  },
  gc: {
    summary: "Remove blobs, snapshots and leases that nothing keeps",
    load: () => as(import("./commands/gc.ts")),
  },
  trace: {
    summary: "Draw the timed stages of a container's last operations",
    load: () => as(import("./commands/trace.ts")),
  },
  ops: { summary: "List what the daemon is working on", load: () => as(import("./commands/ops.ts")) },
  config: {
    summary: "Check and show berthd's settings; read a containerd's config.toml",
    load: () => as(import("./commands/config.ts")),
  },
  doctor: {
    summary: "Find what is wrong with the host, and what is left over of containers",
    load: () => as(import("./commands/doctor.ts")),
  },
  explain: {
    summary: "Print what the runtime would do for a bundle or container",
    load: () => as(import("./commands/explain.ts")),
  },
  info: { summary: "Show facts about the daemon", load: () => as(import("./commands/info.ts")) },
  version: { summary: "Show versions", load: () => as(import("./commands/version.ts")) },
};

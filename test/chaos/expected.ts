/** A client's expectations about a container of its own, and the effect of each command. */

/**
 * "unknown": a command was interrupted, by a kill or a full disk. "unstarted": seen as created after that; a start
 * may have got as far as a waiting process, which can be killed.
 */
export type State = "absent" | "created" | "unstarted" | "running" | "paused" | "exited" | "unknown";

/** Prints "up" and exits with 7 on SIGTERM. */
export const POLITE = 'trap "exit 7" TERM; echo up; sleep 1000 & wait';

/**
 * A command on one container: its arguments, and the resulting state for each state; in a missing one it is refused.
 */
export interface Command {
  words: (name: string, image: string) => string[];
  leadsTo: Partial<Record<State, State>>;
}

const on =
  (...words: string[]) =>
  (name: string) => [...words, name];

/** All commands. */
export const COMMANDS: readonly Command[] = [
  {
    words: (name, image) => ["create", "--name", name, image, "sh", "-c", POLITE],
    leadsTo: { absent: "created" },
  },
  {
    words: (name, image) => ["run", "-d", "--name", name, image, "sh", "-c", POLITE],
    leadsTo: { absent: "running" },
  },
  {
    words: (name, image) => [
      "run",
      "-d",
      "--restart",
      "unless-stopped",
      "--name",
      name,
      image,
      "sh",
      "-c",
      POLITE,
    ],
    leadsTo: { absent: "running" },
  },
  {
    words: on("start"),
    leadsTo: {
      created: "running",
      unstarted: "running",
      exited: "running",
      running: "running",
      paused: "paused",
    },
  },
  {
    words: on("stop", "-t", "3"),
    leadsTo: { running: "exited", paused: "exited", exited: "exited", created: "created" },
  },
  { words: on("kill"), leadsTo: { running: "exited", paused: "exited" } },
  {
    words: on("restart", "-t", "3"),
    leadsTo: {
      running: "running",
      paused: "running",
      exited: "running",
      created: "running",
      unstarted: "running",
    },
  },
  { words: on("pause"), leadsTo: { running: "paused" } },
  { words: on("unpause"), leadsTo: { paused: "running" } },
  { words: (name) => ["exec", name, "echo", "added"], leadsTo: { running: "running" } },
  { words: on("rm"), leadsTo: { created: "absent", unstarted: "absent", exited: "absent" } },
  {
    words: on("rm", "-f"),
    leadsTo: {
      created: "absent",
      unstarted: "absent",
      exited: "absent",
      running: "absent",
      paused: "absent",
    },
  },
  {
    words: on("logs"),
    leadsTo: {
      created: "created",
      unstarted: "unstarted",
      running: "running",
      paused: "paused",
      exited: "exited",
    },
  },
];

/** Error codes explained by the state of a container. */
export const REFUSALS: ReadonlySet<string> = new Set([
  "not_found",
  "already_exists",
  "failed_precondition",
  "invalid_argument",
]);
/** Error codes explained by the faults: the daemon was killed, the disk was full, the request was aborted. */
export const FAULTS: ReadonlySet<string> = new Set(["unavailable", "resource_exhausted", "canceled"]);

/** What a client knows about a container that nobody else touches, and what its next command must come to. */

/**
 * "unknown": a command was cut off, by a kill or a full disk. "unstarted": seen as created after that, and perhaps a start had
 * got as far as a process that waits, which can be killed.
 */
export type State = "absent" | "created" | "unstarted" | "running" | "paused" | "exited" | "unknown";

/** Says "up" and ends with 7 when it is asked to. */
export const POLITE = 'trap "exit 7" TERM; echo up; sleep 1000 & wait';

/** A command on one container: its words, and for each state what it leads to; a state that is left out refuses it. */
export interface Command {
  words: (name: string, image: string) => string[];
  leadsTo: Partial<Record<State, State>>;
}

const on =
  (...words: string[]) =>
  (name: string) => [...words, name];

/** Every command that is tried. */
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

/** Codes of errors that the state of a container explains. */
export const REFUSALS: ReadonlySet<string> = new Set([
  "not_found",
  "already_exists",
  "failed_precondition",
  "invalid_argument",
]);
/** Codes of errors that the faults explain: the daemon was killed, the disk was full, the request was given up. */
export const FAULTS: ReadonlySet<string> = new Set(["unavailable", "resource_exhausted", "canceled"]);

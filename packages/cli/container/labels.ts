/** Labels berth keeps on container records. */

/** Names of labels. */
export const LABEL = {
  /** The container's name for people; unique in its namespace. */
  name: "berth/name",
  /** Path of the log, in CRI form. */
  logPath: "berth/log-path",
  /** The daemon removes the container when its task ends: "true", "detached", or "attached" while this command watches it. */
  autoRemove: "berth/auto-remove",
  /** Bytes at which the log is begun anew, "0" for never; and how many files of it are kept. */
  logMaxSize: "berth/log-max-size",
  logMaxFiles: "berth/log-max-files",
  /** Signal that asks the container to end, for instance "SIGQUIT". */
  stopSignal: "berth/stop-signal",
  /** Seconds it then has. */
  stopTimeout: "berth/stop-timeout",
  /** When the daemon starts it again: "always", "unless-stopped", "on-failure", "on-failure:3". */
  restartPolicy: "berth/restart-policy",
  /** How often the daemon did; by the daemon. */
  restartCount: "berth/restart-count",
  /** It has ended, and is started again then; by the daemon. */
  restartAt: "berth/restart-at",
  /** "true": standard input is kept open for `start -i`. */
  openStdin: "berth/open-stdin",
  /** "external": the runtime's own shim is to be used, although berth serves its name. */
  shim: "berth/shim",
  /** Of a snapshot: until when the collector leaves it alone, although no container has it yet. */
  heldUntil: "berth/gc.held-until",
  /** How the last task ended; by the daemon, for when the task itself is gone (after a reboot). */
  exitCode: "berth/exit-code",
  finishedAt: "berth/finished-at",
  /** The cgroup whose limit was met when the out-of-memory killer was there since the last start. */
  oomCgroup: "berth/oom-cgroup",
} as const;

/** How often the daemon started a container again; containerd's label is that of `ctr` and nerdctl. */
export function restartsOf(labels: Readonly<Record<string, string>>): number {
  return Number(labels[LABEL.restartCount] ?? labels["containerd.io/restart.count"] ?? 0) || 0;
}

/** A user's labels, without berth's own. */
export function userLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([key]) => !key.startsWith("berth/") && !key.startsWith("containerd.io/")),
  );
}

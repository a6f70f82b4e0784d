/** Labels with a meaning: berth's own, and containerd's that berth obeys. */

/** Labels of containers and snapshots that berth's clients and its daemon read and write. */
export const LABEL = {
  /** The container's name for people; unique in its namespace. */
  name: "berth/name",
  /** Path of the log, in CRI form. */
  logPath: "berth/log-path",
  /** Bytes at which the log is rotated, "0" for never; and how many files of it are kept, the current one included. */
  logMaxSize: "berth/log-max-size",
  logMaxFiles: "berth/log-max-files",
  /**
   * The container is removed when its task has ended:
   * - "true": it may be started at any time
   * - "detached": the command that made it starts it at once
   * - "attached": the same, and watches it: it wants the exit code first and then removes it, unless it is killed
   */
  autoRemove: "berth/auto-remove",
  /** "true", of such a container that was started: when the machine goes down, that is an end too. By the daemon. */
  wasStarted: "berth/was-started",
  /** Signal that asks the container to end, for instance "SIGQUIT". */
  stopSignal: "berth/stop-signal",
  /** Seconds it then has to end by itself. */
  stopTimeout: "berth/stop-timeout",
  /** When the daemon starts it again: "always", "unless-stopped", "on-failure", "on-failure:3". */
  restartPolicy: "berth/restart-policy",
  /** How often the daemon did since somebody started it. By the daemon. */
  restartCount: "berth/restart-count",
  /** RFC 3339; it has ended and is started again then. By the daemon. */
  restartAt: "berth/restart-at",
  /** "true": somebody stopped it. By the daemon. */
  stoppedByHand: "berth/stopped-by-hand",
  /** RFC 3339; when it was last started. By the daemon. */
  startedAt: "berth/started-at",
  /** How the last task ended, for when the task itself is gone (after a reboot). By the daemon. */
  exitCode: "berth/exit-code",
  finishedAt: "berth/finished-at",
  /**
   * The out-of-memory killer came since the last start: the cgroup whose limit was met, "/" for the host's own memory. By
   * the daemon.
   */
  oomCgroup: "berth/oom-cgroup",
  /** "true": standard input is kept open for `start -i`. */
  openStdin: "berth/open-stdin",
  /** "external": the runtime's own shim is used, although berth serves that name. */
  shim: "berth/shim",
  /**
   * Of a snapshot, RFC 3339: the collector leaves it alone until then, although nothing refers to it yet. A client sets it
   * on the snapshot of a container that it is about to make.
   */
  heldUntil: "berth/gc.held-until",
} as const;

/** containerd's labels, with containerd's meaning; `ctr` and nerdctl set those about restarts. */
export const CONTAINERD_LABEL = {
  /** "running" or "stopped": what the container's task is to be. */
  restartStatus: "containerd.io/restart.status",
  /** As berth's; without it, always. */
  restartPolicy: "containerd.io/restart.policy",
  restartCount: "containerd.io/restart.count",
  explicitlyStopped: "containerd.io/restart.explicitly-stopped",
  /** Where the output goes of a task that the daemon starts: file:///path, binary:///path. */
  logUri: "containerd.io/restart.loguri",
  /** The same as a path, from before there were URIs. */
  logPath: "containerd.io/restart.logpath",
  /** Whatever has it is kept, with all it refers to. */
  gcRoot: "containerd.io/gc.root",
  /** RFC 3339; a lease that has it ends then. */
  gcExpire: "containerd.io/gc.expire",
  /** A lease that has it keeps what it names, but not what that refers to. */
  gcFlat: "containerd.io/gc.flat",
  /** This, or with "." or "/" and more behind it: a digest that is kept. */
  gcRefContent: "containerd.io/gc.ref.content",
  /** With a snapshotter's name behind it: a snapshot that is kept. */
  gcRefSnapshot: "containerd.io/gc.ref.snapshot.",
  /** Digest of a layer's uncompressed content. */
  uncompressed: "containerd.io/uncompressed",
  /** Name under which a snapshot is to be committed, for snapshotters that fetch by themselves. */
  snapshotRef: "containerd.io/snapshot.ref",
  /** Labels that begin so go from a prepared snapshot to the committed one. */
  snapshot: "containerd.io/snapshot",
} as const;

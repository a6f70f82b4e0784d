/** Labels with a meaning: berth's own, and those of containerd that berth honours. */

/** Labels of containers and snapshots shared by berth's clients and its daemon. */
export const LABEL = {
  /** The container's human-readable name; unique in its namespace. */
  name: "berth/name",
  /** Path of the log, in CRI format. */
  logPath: "berth/log-path",
  /**
   * Bytes at which the log is rotated, "0" for never; and how many files of it are kept, including the current one.
   */
  logMaxSize: "berth/log-max-size",
  logMaxFiles: "berth/log-max-files",
  /**
   * The container is removed when its task has ended:
   * - "true": it may be started at any time
   * - "detached": the command that created it starts it at once
   * - "attached": the same, and the command waits for it: it reads the exit code and then removes the container
   *   itself, unless it is killed
   */
  autoRemove: "berth/auto-remove",
  /** "true" once a container with `autoRemove` was started: a reboot counts as its end, too. Set by the daemon. */
  wasStarted: "berth/was-started",
  /** Signal that asks the container to stop, for instance "SIGQUIT". */
  stopSignal: "berth/stop-signal",
  /** Seconds it then has before it is killed. */
  stopTimeout: "berth/stop-timeout",
  /** When the daemon restarts it: "always", "unless-stopped", "on-failure", "on-failure:3". */
  restartPolicy: "berth/restart-policy",
  /** Number of restarts by the daemon since the last start by a client. Set by the daemon. */
  restartCount: "berth/restart-count",
  /** RFC 3339; when the container, which has exited, is started again. Set by the daemon. */
  restartAt: "berth/restart-at",
  /** "true": a client stopped it. Set by the daemon. */
  stoppedByHand: "berth/stopped-by-hand",
  /** RFC 3339; when it was last started. Set by the daemon. */
  startedAt: "berth/started-at",
  /** Exit code of the last task, for when the task itself is gone (after a reboot). Set by the daemon. */
  exitCode: "berth/exit-code",
  finishedAt: "berth/finished-at",
  /**
   * The out-of-memory killer struck since the last start: the cgroup whose limit was reached, "/" for the host's
   * memory. Set by the daemon.
   */
  oomCgroup: "berth/oom-cgroup",
  /** "true": standard input is kept open for `start -i`. */
  openStdin: "berth/open-stdin",
  /** "external": use the runtime's own shim although berth serves that name itself. */
  shim: "berth/shim",
  /**
   * On a snapshot, RFC 3339: the garbage collector keeps it until then, although nothing refers to it yet. A client
   * sets it on the snapshot of a container that it is about to create.
   */
  heldUntil: "berth/gc.held-until",
} as const;

/** containerd's labels, with containerd's meaning; `ctr` and nerdctl set the restart ones. */
export const CONTAINERD_LABEL = {
  /** "running" or "stopped": the desired state of the container's task. */
  restartStatus: "containerd.io/restart.status",
  /** Like berth's; "always" if absent. */
  restartPolicy: "containerd.io/restart.policy",
  restartCount: "containerd.io/restart.count",
  explicitlyStopped: "containerd.io/restart.explicitly-stopped",
  /** Log URI of a task that the daemon starts: file:///path, binary:///path. */
  logUri: "containerd.io/restart.loguri",
  /** The same as a path, from before there were URIs. */
  logPath: "containerd.io/restart.logpath",
  /** An object with this label is kept, with everything it refers to. */
  gcRoot: "containerd.io/gc.root",
  /** RFC 3339; a lease or an image with this label expires then, and a blob or a snapshot is kept until then. */
  gcExpire: "containerd.io/gc.expire",
  /** A lease with this label keeps what it names, but not what that refers to. */
  gcFlat: "containerd.io/gc.flat",
  /** Followed by nothing, or by "." or "/" and more: a digest that is kept. */
  gcRefContent: "containerd.io/gc.ref.content",
  /** Followed by nothing, or by "." or "/" and more: an image that is kept. */
  gcRefImage: "containerd.io/gc.ref.image",
  /** Followed by a snapshotter's name: a snapshot that is kept. */
  gcRefSnapshot: "containerd.io/gc.ref.snapshot.",
  /** Followed by nothing, or by "." or "/" and more: an activation of mounts that is kept. */
  gcRefMount: "containerd.io/gc.ref.mount",
  /**
   * An object with this label is kept as long as that container, image, blob or snapshot is. Followed as the references
   * above.
   */
  gcBackRefContainer: "containerd.io/gc.bref.container",
  gcBackRefImage: "containerd.io/gc.bref.image",
  gcBackRefContent: "containerd.io/gc.bref.content",
  gcBackRefSnapshot: "containerd.io/gc.bref.snapshot.",
  /** Followed by a registry's host: repositories there that have the blob, separated by commas. */
  distributionSource: "containerd.io/distribution.source.",
  /** Digest of a layer's uncompressed content. */
  uncompressed: "containerd.io/uncompressed",
  /** Name under which a snapshot is to be committed, for snapshotters that fetch by themselves. */
  snapshotRef: "containerd.io/snapshot.ref",
  /** Folder of an overlay snapshot's own files. */
  overlayUpperdir: "containerd.io/snapshot/overlay.upperdir",
  /** "true" on a namespace whose blobs others get by their digests although contents are isolated. */
  shareable: "containerd.io/namespace.shareable",
  /** Labels with this prefix are inherited by the committed snapshot. */
  snapshot: "containerd.io/snapshot",
} as const;

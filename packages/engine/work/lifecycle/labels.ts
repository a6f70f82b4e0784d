/** Labels that say whether a container is kept running, and what came of it. */

/** berth's own labels, with docker's meaning. */
export const RESTART = {
  /** "always", "unless-stopped", "on-failure" or "on-failure:N". */
  policy: "berth/restart-policy",
  /** How often it was started again since somebody started it. */
  count: "berth/restart-count",
  /** "true": somebody stopped it. */
  byHand: "berth/stopped-by-hand",
  /** When it was last started. */
  startedAt: "berth/started-at",
  /** It has ended and is about to be started again, then. */
  due: "berth/restart-at",
} as const;

/** How it is asked to end. */
export const STOP_SIGNAL = "berth/stop-signal";
/** Seconds it has to end by itself. */
export const STOP_TIMEOUT = "berth/stop-timeout";

/** containerd's labels, with containerd's meaning; `ctr` and nerdctl set them. */
export const CONTAINERD = {
  /** "running" or "stopped": what its task is to be. */
  status: "containerd.io/restart.status",
  /** As berth's; without it, always. */
  policy: "containerd.io/restart.policy",
  count: "containerd.io/restart.count",
  explicitlyStopped: "containerd.io/restart.explicitly-stopped",
  /** Where the output of a task goes that the daemon starts: file:///path, binary:///path. */
  logUri: "containerd.io/restart.loguri",
  /** The same as a path, from before there were URIs. */
  logPath: "containerd.io/restart.logpath",
} as const;

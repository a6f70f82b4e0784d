/** Labels of containers that tell how their last task ended. */

export const EXIT_CODE = "berth/exit-code";
export const FINISHED_AT = "berth/finished-at";
/**
 * Label of a container that the out-of-memory killer was in since it was started: the cgroup whose limit was met, "/" for
 * the host's own memory.
 */
export const OOM_CGROUP = "berth/oom-cgroup";

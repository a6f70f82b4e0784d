/** Whether and when an exited container is restarted: docker's rules and containerd's. */
import { CONTAINERD_LABEL, LABEL, parseRestartPolicy, type RestartPolicy } from "@berth/api";

type Labels = Readonly<Record<string, string>>;

/** A container's restart configuration, from its labels. */
export interface RestartIntent {
  /** The rules: berth's labels mean what docker's flags mean, containerd's what its monitor makes of them. */
  readonly rules: "docker" | "containerd";
  readonly policy: RestartPolicy;
  /** For containerd: the desired state of the task. */
  readonly desired: "running" | "stopped";
}

/** Reads the labels; undefined for a container without a restart policy. */
export function intentOf(labels: Labels): RestartIntent | undefined {
  const own = labels[LABEL.restartPolicy];
  if (own !== undefined) {
    const policy = read(own);
    return policy === undefined || policy.name === "no"
      ? undefined
      : { rules: "docker", policy, desired: "running" };
  }
  const desired = labels[CONTAINERD_LABEL.restartStatus];
  if (desired !== "running" && desired !== "stopped") return undefined;
  const policy = read(labels[CONTAINERD_LABEL.restartPolicy] || "always");
  return policy === undefined ? undefined : { rules: "containerd", policy, desired };
}

// Labels are untrusted client input: an invalid one counts as none.
function read(text: string): RestartPolicy | undefined {
  try {
    return parseRestartPolicy("label", text);
  } catch {
    return undefined;
  }
}

/** Facts about an exited container. */
export interface Exited {
  exitStatus: number;
  /** A client stopped it; for containerd, according to its label. */
  byHand: boolean;
  /** Number of restarts so far. */
  count: number;
}

/** Whether a container that has just exited is restarted. */
export function restartsNow(
  { rules, policy, desired }: RestartIntent,
  { exitStatus, byHand, count }: Exited,
): boolean {
  if (desired === "stopped") return false;
  switch (policy.name) {
    case "always":
      return true;
    case "unless-stopped":
      return !byHand;
    case "on-failure":
      return exitStatus !== 0 && (policy.max === 0 || count < policy.max) && (rules !== "docker" || !byHand);
    default:
      return false;
  }
}

const FIRST_MS = 100;
const LONGEST_MS = 60_000;
/** A run of this length counts as a successful start. */
const STABLE_MS = 10_000;

/** Milliseconds until the next start; `last` is the previous delay, 0 for none. */
export function backOff(last: number, ranMs: number): number {
  if (last === 0 || ranMs >= STABLE_MS) return FIRST_MS;
  return Math.min(last * 2, LONGEST_MS);
}

/** Number of restarts, from the container's labels. */
export function restartCount(rules: RestartIntent["rules"], labels: Labels): number {
  const count = Number(labels[rules === "docker" ? LABEL.restartCount : CONTAINERD_LABEL.restartCount] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** Whether a client stopped the container, from its labels. */
export function stoppedByHand(rules: RestartIntent["rules"], labels: Labels): boolean {
  const value = labels[rules === "docker" ? LABEL.stoppedByHand : CONTAINERD_LABEL.explicitlyStopped];
  // The texts Go parses as true.
  return value !== undefined && /^(1|t|true)$/i.test(value);
}

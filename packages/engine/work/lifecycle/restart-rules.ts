/** Whether a container that has ended is started again, and when: docker's rules and containerd's. */
import { CONTAINERD_LABEL, LABEL, parseRestartPolicy, type RestartPolicy } from "@berth/api";

type Labels = Readonly<Record<string, string>>;

/** What the labels of a container ask for. */
export interface RestartIntent {
  /** Whose rules: berth's labels mean what docker's flags mean, containerd's what its monitor makes of them. */
  readonly rules: "docker" | "containerd";
  readonly policy: RestartPolicy;
  /** Of containerd: what the task is to be. */
  readonly desired: "running" | "stopped";
}

/** Reads the labels; undefined for a container that is left alone. */
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

// Anybody who may make containers writes labels: one that makes no sense asks for nothing.
function read(text: string): RestartPolicy | undefined {
  try {
    return parseRestartPolicy("label", text);
  } catch {
    return undefined;
  }
}

/** What a container is known by when it has ended. */
export interface Ended {
  exitStatus: number;
  /** Somebody stopped it; of containerd, its label says so. */
  byHand: boolean;
  /** Restarts so far. */
  count: number;
}

/** Tells whether a container that has just ended is started again. */
export function restartsNow(
  { rules, policy, desired }: RestartIntent,
  { exitStatus, byHand, count }: Ended,
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
/** Who ran this long has started well. */
const WELL_MS = 10_000;

/** Milliseconds until the next start; `last` is what it was the time before, 0 for none. */
export function backOff(last: number, ranMs: number): number {
  if (last === 0 || ranMs >= WELL_MS) return FIRST_MS;
  return Math.min(last * 2, LONGEST_MS);
}

/** How often a container was started again, by its labels. */
export function restartCount(rules: RestartIntent["rules"], labels: Labels): number {
  const count = Number(labels[rules === "docker" ? LABEL.restartCount : CONTAINERD_LABEL.restartCount] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** Whether somebody stopped the container, by its labels. */
export function stoppedByHand(rules: RestartIntent["rules"], labels: Labels): boolean {
  const value = labels[rules === "docker" ? LABEL.stoppedByHand : CONTAINERD_LABEL.explicitlyStopped];
  // What Go reads as true.
  return value !== undefined && /^(1|t|true)$/i.test(value);
}

/** Reaping of children, so that none stays a zombie. */
import type { Sys } from "@berth/sys";

const MAX_REAP_DELAY_MS = 30_000;

/** Reaps a child that has exited or is about to, with increasing delays. */
export function reapLater(sys: Sys, pid: number, delay = 1): void {
  if (pid === 0 || sys.reap(pid) !== undefined) return;
  setTimeout(() => reapLater(sys, pid, Math.min(2 * delay, MAX_REAP_DELAY_MS)), delay).unref();
}

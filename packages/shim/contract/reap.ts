/** Waiting for children that have ended, so that none stays a zombie. */
import type { Sys } from "@berth/sys";

const MAX_REAP_DELAY_MS = 30_000;

/** A child that has ended, or soon will, wants to be waited for. */
export function reapLater(sys: Sys, pid: number, delay = 1): void {
  if (pid === 0 || sys.reap(pid) !== undefined) return;
  setTimeout(() => reapLater(sys, pid, Math.min(2 * delay, MAX_REAP_DELAY_MS)), delay).unref();
}

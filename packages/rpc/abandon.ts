/** Why a call ends before its response: its caller cancels, or its deadline passes. */
import { BerthError, type ErrorFacts } from "@berth/base";
import type { CallOptions } from "./client-binding.ts";

/** setTimeout's limit; 24 days are as good as no deadline. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `abandon` when the call `name` is cancelled or its deadline passes; returns a function that stops listening.
 * `facts` are attached to the deadline's error.
 */
export function onAbandoned(
  name: string,
  { signal, timeoutMs }: CallOptions,
  abandon: (reason: BerthError) => void,
  facts: ErrorFacts = {},
): () => void {
  const abort = () =>
    abandon(
      signal?.reason instanceof BerthError
        ? signal.reason
        : new BerthError("canceled", `${name} was canceled`, { cause: signal?.reason }),
    );
  signal?.addEventListener("abort", abort, { once: true });
  const expire = () =>
    abandon(new BerthError("deadline_exceeded", `${name} took longer than ${timeoutMs} ms`, facts));
  const timer = timeoutMs === undefined ? undefined : setTimeout(expire, Math.min(timeoutMs, MAX_TIMER_MS));
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  };
}

/** Signals in flags, and those forwarded to a container. */
import { signalNumber } from "@berth/base";
import { usageError } from "./flags.ts";

/** "KILL", "SIGKILL", "9", "RTMIN+3" -> 9. */
export function parseSignal(flag: string, text: string): number {
  let number = 0;
  try {
    number = signalNumber(text);
  } catch {
    // Zero is not a signal either.
  }
  if (number > 0) return number;
  throw usageError(`${flag}: found "${text}", expected a signal such as TERM, SIGKILL or 9`);
}

/** Signals that `berth` receives on behalf of the container. */
export const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

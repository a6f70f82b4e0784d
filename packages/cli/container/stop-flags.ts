/** Flags of `stop` and `restart`. */
import type { StopOptions } from "@berth/client";
import { type FlagTable, type FlagValues, text, wholeNumber } from "../flags.ts";
import { parseSignal } from "../signals.ts";

export const STOP_FLAGS = {
  timeout: text(
    "SECONDS",
    "Grace period; -1 for ever, 0 for none (default: the container's --stop-timeout, or 10)",
    "t",
  ),
  time: text("SECONDS", "Same as --timeout"),
  signal: text("SIGNAL", "Signal that asks it to end (default: the container's --stop-signal, or TERM)", "s"),
} as const satisfies FlagTable;

/** Converts the flags to options. */
export function stopOptions(flags: FlagValues<typeof STOP_FLAGS>): StopOptions {
  const seconds = flags.timeout ?? flags.time;
  return {
    ...(seconds === undefined ? {} : { seconds: wholeNumber("--timeout", seconds, -1) }),
    ...(flags.signal === undefined ? {} : { signal: parseSignal("--signal", flags.signal) }),
  };
}

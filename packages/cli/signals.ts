/** Signals by name and number. */
import { constants } from "node:os";
import { usageError } from "./flags.ts";

const RTMIN = 34;
const RTMAX = 64;

/** "KILL", "SIGKILL", "9", "RTMIN+3" -> 9. */
export function parseSignal(flag: string, text: string): number {
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const known = (constants.signals as Record<string, number>)[name];
  if (known !== undefined) return known;
  const realtime = /^SIGRT(MIN(?:\+(\d+))?|MAX(?:-(\d+))?)$/.exec(name);
  const number = realtime
    ? realtime[1]!.startsWith("MIN")
      ? RTMIN + Number(realtime[2] ?? 0)
      : RTMAX - Number(realtime[3] ?? 0)
    : Number(text);
  if (/^\d+$/.test(text) || realtime) if (number >= 1 && number <= RTMAX) return number;
  throw usageError(`${flag}: found "${text}", expected a signal such as TERM, SIGKILL or 9`);
}

/** Signals that a terminal or another program sends to `berth` and that are meant for the container. */
export const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** Number of a signal by its name. */
export function signalNumber(name: NodeJS.Signals): number {
  return constants.signals[name];
}

/** Signals: numbers by name, as on x86-64 and arm64, and the ones that programs assign their own meaning. */
import { BerthError } from "./errors.ts";

export const SIGKILL = 9;
export const SIGTERM = 15;

const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(
    " ",
  );
const ALIASES: Readonly<Record<string, string>> = { IOT: "ABRT", CLD: "CHLD", POLL: "IO", UNUSED: "SYS" };
const MAX_SIGNAL = 64;

/** Number of a signal given as "KILL", "SIGKILL", "9" or "RTMIN+1"; "invalid_argument" for anything else. */
export function signalNumber(text: string): number {
  const word = text.toUpperCase().replace(/^SIG/, "");
  if (/^\d+$/.test(word) && Number(word) >= 0 && Number(word) <= MAX_SIGNAL) return Number(word);
  const realtime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(word);
  if (realtime) {
    const base = realtime[1] === "MIN" ? 34 : 64;
    const number = base + (realtime[2] === "-" ? -1 : 1) * Number(realtime[3] ?? 0);
    if (number >= 34 && number <= MAX_SIGNAL) return number;
  }
  const index = NAMES.indexOf(ALIASES[word] ?? word);
  if (index < 0)
    throw new BerthError("invalid_argument", `unknown signal ${JSON.stringify(text)}`, {
      stage: "flags",
      hint: "use a name such as TERM, or a number",
    });
  return index + 1;
}

/** containerd's command line for shims: Go's flags (one dash or two), then an action. */
import { BerthError } from "@berth/base";

const VALUES = [
  "namespace",
  "id",
  "address",
  "publish-binary",
  "bundle",
  // berth's own, for the serving process.
  "socket",
  "state",
] as const;
const SWITCHES = ["debug", "info", "version", "v", "help", "h"] as const;

export const USAGE =
  "containerd-shim-berth-v1 -namespace NS -address ADDRESS -id ID [-publish-binary PATH] [-bundle PATH] [-debug] start|delete," +
  " or with -info, or with -v";

/** A parsed command line. */
export type ShimCall = Partial<Record<(typeof VALUES)[number], string>> &
  Partial<Record<(typeof SWITCHES)[number], boolean>> & { action: string };

const isOneOf = <T extends string>(names: readonly T[], name: string): name is T =>
  (names as readonly string[]).includes(name);

/** Parses the command line; "invalid_argument" names the invalid argument. */
export function parseCall(args: readonly string[]): ShimCall {
  const call: ShimCall = { action: "" };
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    const match = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(word);
    if (match === null) {
      if (call.action !== "" || word.startsWith("-")) throw unexpected(word);
      call.action = word;
      continue;
    }
    const [, name, given] = match;
    if (isOneOf(SWITCHES, name!)) {
      if (given !== undefined && !/^(true|false|1|0|t|f)$/i.test(given)) throw unexpected(word);
      call[name] = given === undefined || /^(true|1|t)$/i.test(given);
    } else if (isOneOf(VALUES, name!)) {
      const value = given ?? args[++at];
      if (value === undefined)
        throw new BerthError("invalid_argument", `-${name}: found no value, expected one`);
      call[name] = value;
    } else throw unexpected(word);
  }
  if (call.action !== "serve" && call.socket !== undefined)
    throw new BerthError(
      "invalid_argument",
      `-socket: found with ${call.action || "no action"}, expected none`,
      {
        hint: "the socket is chosen by who serves",
      },
    );
  return call;
}

function unexpected(word: string): BerthError {
  return new BerthError(
    "invalid_argument",
    `${word}: found an argument that is not known, expected containerd's call of a shim: ${USAGE}`,
  );
}

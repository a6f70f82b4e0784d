/** Amounts on the command line: bytes in docker's notation, and Go's durations. */
import { BerthError, parseDuration } from "@berth/base";

const POWERS = "kmgtp";

/** Bytes of "50M", "1.5GiB", "67108864" (powers of 1024), or -1; "invalid_argument" names the flag. */
export function parseBytes(flag: string, text: string): bigint {
  if (text === "-1") return -1n;
  const match = /^(\d+(?:\.\d+)?) ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text);
  if (match === null) {
    throw new BerthError("invalid_argument", `invalid value for ${flag}: invalid size: '${text}'`, {
      stage: "flags",
      hint: "write bytes, or a number with k, m, g or t",
    });
  }
  const power = match[2] === undefined ? 0 : POWERS.indexOf(match[2].toLowerCase()) + 1;
  return match[1]!.includes(".")
    ? BigInt(Math.floor(Number(match[1]) * 1024 ** power))
    : BigInt(match[1]!) * 1024n ** BigInt(power);
}

/** A whole number for a flag, with runc's error message. */
export function parseWhole(flag: string, text: string, signed: boolean): bigint {
  if (!(signed ? /^[+-]?\d+$/ : /^\d+$/).test(text)) {
    throw new BerthError(
      "invalid_argument",
      `invalid value for ${flag}: parsing ${JSON.stringify(text)}: invalid syntax`,
      { stage: "flags" },
    );
  }
  return BigInt(text);
}

/** A duration for a flag, in milliseconds. */
export function durationOf(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new BerthError(
    "invalid_argument",
    `invalid value ${JSON.stringify(text)} for flag --${flag}: expected a duration such as 5s or 100ms`,
    { stage: "flags" },
  );
}

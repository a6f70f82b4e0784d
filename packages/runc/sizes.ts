/** Amounts on the command line: bytes in docker's notation, and Go's durations. */
import { BerthError } from "@berth/base";

const POWERS = "kmgtp";
const UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

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

/** Milliseconds of "5s", "1m30s", "100ms". */
export function parseDuration(flag: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((p) => p[0]).join("") !== text) {
    throw new BerthError(
      "invalid_argument",
      `invalid value ${JSON.stringify(text)} for flag --${flag}: expected a duration such as 5s or 100ms`,
      { stage: "flags" },
    );
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit!]!, 0);
}

/** Times in nanoseconds since the epoch, the store's form, and as RFC 3339 text. */
import { systemClock } from "@berth/base";

/** Now, in nanoseconds since the epoch. */
export function now(): bigint {
  return systemClock.wall();
}

/** Formats a time as RFC 3339 with nanoseconds, as Go prints it. */
export function rfc3339(ns: bigint): string {
  const base = new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19);
  const fraction = String(ns % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${base}${fraction === "" ? "" : `.${fraction}`}Z`;
}

/** Parses RFC 3339; undefined if invalid. */
export function parseRfc3339(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}

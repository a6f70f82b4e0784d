/** Times as the store keeps them (nanoseconds since the epoch, as text) and as the wire has them (Timestamp). */
import { systemClock } from "@berth/base";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

/** Now, in nanoseconds since the epoch. */
export function now(): bigint {
  return systemClock.wall();
}

/** A Timestamp for nanoseconds since the epoch; text is what the store keeps. */
export function timestamp(ns: bigint | string): Timestamp {
  const value = BigInt(ns);
  return create(TimestampSchema, {
    seconds: value / 1_000_000_000n,
    nanos: Number(value % 1_000_000_000n),
  });
}

/** Nanoseconds since the epoch of a Timestamp; undefined for none. */
export function nanoseconds(time: Timestamp | undefined): bigint | undefined {
  return time === undefined ? undefined : time.seconds * 1_000_000_000n + BigInt(time.nanos);
}

/** An RFC 3339 text with nanoseconds, as Go prints it. */
export function rfc3339(ns: bigint): string {
  const base = new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19);
  const fraction = String(ns % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${base}${fraction === "" ? "" : `.${fraction}`}Z`;
}

/** Parses an RFC 3339 text; undefined when it is none. */
export function parseRfc3339(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}

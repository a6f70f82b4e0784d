/** google.protobuf.Timestamp, nanoseconds since the epoch, and Dates. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const SECOND = 1_000_000_000n;

/** The fields of a timestamp that are read. */
type Stamp = Pick<Timestamp, "seconds" | "nanos">;

/** The timestamp of nanoseconds since the epoch. */
export function timestamp(ns: bigint): Timestamp {
  return { $typeName: "google.protobuf.Timestamp", seconds: ns / SECOND, nanos: Number(ns % SECOND) };
}

/** Nanoseconds since the epoch; undefined for an absent time. */
export function nanoseconds(time: Stamp | undefined): bigint | undefined {
  return time === undefined ? undefined : time.seconds * SECOND + BigInt(time.nanos);
}

/** A timestamp as a Date, to the millisecond; undefined for an absent or zero one. */
export function dateOf(time: Stamp | undefined): Date | undefined {
  if (time === undefined || time.seconds <= 0n) return undefined;
  return new Date(Number(time.seconds) * 1000 + Math.floor(time.nanos / 1e6));
}

/** The timestamp of a Date. */
export function timestampOf(date: Date): Timestamp {
  return timestamp(BigInt(date.getTime()) * 1_000_000n);
}

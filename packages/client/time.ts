/** Timestamps of the wire, and those people read. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";

/** A timestamp as a Date (milliseconds); undefined for an absent or zero one. */
export function dateOf(stamp: Timestamp | undefined): Date | undefined {
  if (stamp === undefined || stamp.seconds <= 0n) return undefined;
  return new Date(Number(stamp.seconds) * 1000 + Math.floor(stamp.nanos / 1e6));
}

/** A timestamp as nanoseconds since the epoch; 0 when absent. */
export function nanosecondsOf(stamp: Timestamp | undefined): bigint {
  return stamp === undefined ? 0n : stamp.seconds * 1_000_000_000n + BigInt(stamp.nanos);
}

/** A Date as what a request's timestamp takes. */
export function stampOf(date: Date): { seconds: bigint; nanos: number } {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}

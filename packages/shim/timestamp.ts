/** Nanoseconds since the epoch as a google.protobuf.Timestamp. */
export function timestamp(ns: bigint): { seconds: bigint; nanos: number } {
  return { seconds: ns / 1_000_000_000n, nanos: Number(ns % 1_000_000_000n) };
}

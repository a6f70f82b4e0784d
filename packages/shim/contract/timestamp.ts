/** Nanoseconds since the epoch as a google.protobuf.Timestamp. */
export function timestamp(ns: bigint): { seconds: bigint; nanos: number } {
  return { seconds: ns / 1_000_000_000n, nanos: Number(ns % 1_000_000_000n) };
}

/** The other way round; 0 for a time that was not given. */
export function nanosecondsOf(at: { seconds: bigint; nanos: number } | undefined): bigint {
  return at === undefined ? 0n : at.seconds * 1_000_000_000n + BigInt(at.nanos);
}

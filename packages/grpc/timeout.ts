/** `grpc-timeout`: at most eight digits and a unit. */
import { BerthError } from "@berth/base";
import { MAX_TIMER_MS } from "@berth/rpc";

const UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Parses a `grpc-timeout` header: milliseconds, or undefined without one. */
export function parseTimeout(header: unknown): number | undefined {
  if (header === undefined) return undefined;
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(header));
  if (match === null)
    throw new BerthError(
      "invalid_argument",
      `grpc-timeout is ${JSON.stringify(header)}, expected up to eight digits and one of H M S m u n`,
    );
  return Math.min(Number(match[1]) * UNITS[match[2]!]!, MAX_TIMER_MS);
}

/** Formats a `grpc-timeout` header for `ms` milliseconds. */
export function formatTimeout(ms: number): string {
  const rounded = Math.max(0, Math.ceil(ms));
  return rounded < 1e8 ? `${rounded}m` : `${Math.min(99_999_999, Math.ceil(rounded / 1000))}S`;
}

/** Sizes, durations and times in docker's notation. */
import { parseDuration } from "@berth/base";
import { usageError } from "./flags.ts";

const FACTORS: Record<string, number> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** "512m" -> bytes. */
export function parseSize(flag: string, value: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([bkmgt]?)i?b?$/i.exec(value.trim());
  if (!match) throw usageError(`${flag}: found "${value}", expected a size such as 512m or 2g`);
  return Math.floor(Number(match[1]) * FACTORS[match[2]!.toLowerCase()]!);
}

/** Bytes with decimal units, as docker shows images. */
export function formatSize(bytes: number): string {
  return scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB"]);
}

/** Bytes with binary units, as docker shows memory. */
export function formatBinarySize(bytes: number): string {
  return scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let unit = 0;
  let left = value;
  while (left >= step && unit < units.length - 1) {
    left /= step;
    unit++;
  }
  return `${Number(left.toPrecision(left >= 1000 ? 4 : 3))}${units[unit]}`;
}

const STEPS: readonly [seconds: number, word: string][] = [
  [365 * 86400, "year"],
  [30 * 86400, "month"],
  [7 * 86400, "week"],
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];

/** A duration in words: "3 minutes", "About a minute", "Less than a second". */
export function formatSpan(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds >= 60 && seconds < 120) return "About a minute";
  if (seconds >= 3600 && seconds < 7200) return "About an hour";
  // docker keeps the smaller unit until there are two of the larger one.
  const [size, word] = STEPS.find(([size]) => seconds >= size * (size > 3600 ? 2 : 1)) ?? [1, "second"];
  const number = Math.floor(seconds / size);
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** A time as in docker's --since: RFC 3339, seconds since the epoch, or a duration before now. */
export function parseMoment(flag: string, value: string, now = Date.now()): Date {
  if (/^\d+(\.\d+)?$/.test(value)) return new Date(Number(value) * 1000);
  const ago = parseDuration(value);
  if (ago !== undefined) return new Date(now - ago);
  const date = new Date(/^\d{4}-\d{2}-\d{2}$/.test(value) ? `${value}T00:00:00` : value);
  if (Number.isNaN(date.getTime()))
    throw usageError(
      `${flag}: found "${value}", expected a time (2026-01-31T12:00:00Z), or a span (10m) before now`,
    );
  return date;
}

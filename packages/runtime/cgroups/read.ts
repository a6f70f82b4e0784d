/** Reads cgroup files: numbers, tables, lists, pressure. A missing file reads as 0 or empty. */
import type { Sys } from "@berth/sys";

const UNLIMITED = (1n << 64n) - 1n;

/** Reads a number; "max" is 2^64 - 1. */
export function readNumber(sys: Sys, path: string): bigint {
  const text = sys.readTextIfAny(path)?.trim() ?? "";
  if (text === "max") return UNLIMITED;
  return /^-?\d+$/.test(text) ? BigInt(text) : 0n;
}

/** Reads a flat keyed file, with lines "key value". */
export function readTable(sys: Sys, path: string): Map<string, bigint> {
  const out = new Map<string, bigint>();
  for (const line of sys.readTextIfAny(path)?.split("\n") ?? []) {
    const [key, value] = line.split(" ");
    if (key && value && /^\d+$/.test(value)) out.set(key, BigInt(value));
  }
  return out;
}

/** Reads a list of ranges such as "0-2,7" as its numbers. */
export function readList(sys: Sys, path: string): number[] {
  return (sys.readTextIfAny(path)?.trim() ?? "")
    .split(",")
    .filter(Boolean)
    .flatMap((range) => {
      const [from, to] = range.split("-").map(Number);
      return Array.from({ length: (to ?? from!) - from! + 1 }, (_, i) => from! + i);
    });
}

interface Pressure {
  avg10: number;
  avg60: number;
  avg300: number;
  total: number;
}

/** Reads a pressure file; undefined if the kernel does not track pressure. */
export function readPressure(sys: Sys, path: string): Partial<Record<"some" | "full", Pressure>> | undefined {
  let text: string | undefined;
  try {
    text = sys.readTextIfAny(path);
  } catch {
    // EOPNOTSUPP: built into the kernel, but disabled at boot.
  }
  if (text === undefined) return undefined;
  const out: Partial<Record<"some" | "full", Pressure>> = {};
  for (const line of text.split("\n")) {
    const [kind, ...facts] = line.split(" ");
    if (kind !== "some" && kind !== "full") continue;
    const value = (key: string) =>
      Number(facts.find((f) => f.startsWith(`${key}=`))?.slice(key.length + 1) ?? 0);
    out[kind] = {
      avg10: value("avg10"),
      avg60: value("avg60"),
      avg300: value("avg300"),
      total: value("total"),
    };
  }
  return out;
}

/** Reading cgroup files: numbers, tables, lists, pressure. What is not there counts as 0 or as empty. */
import type { Sys } from "@berth/sys";

const UNLIMITED = (1n << 64n) - 1n;

/** A number of a cgroup file; "max" is the largest there is. */
export function readNumber(sys: Sys, path: string): bigint {
  const text = sys.readTextIfAny(path)?.trim() ?? "";
  if (text === "max") return UNLIMITED;
  return /^-?\d+$/.test(text) ? BigInt(text) : 0n;
}

/** A file of lines "key value". */
export function readTable(sys: Sys, path: string): Map<string, bigint> {
  const out = new Map<string, bigint>();
  for (const line of sys.readTextIfAny(path)?.split("\n") ?? []) {
    const [key, value] = line.split(" ");
    if (key && value && /^\d+$/.test(value)) out.set(key, BigInt(value));
  }
  return out;
}

/** Numbers of a list such as "0-2,7". */
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

/** A pressure file; undefined where the kernel does not account for it. */
export function readPressure(sys: Sys, path: string): Partial<Record<"some" | "full", Pressure>> | undefined {
  let text: string | undefined;
  try {
    text = sys.readTextIfAny(path);
  } catch {
    // EOPNOTSUPP: accounted for by the kernel, switched off at boot.
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

/** Converts the decisions of one audit architecture to ranges of system call numbers. */
import type { Seccomp } from "@berth/oci";
import { X32_BIT } from "./architectures.ts";
import {
  type ArchitectureDecisions,
  type Decision,
  RETURN_ENOSYS,
  RETURN_KILL_THREAD,
  returnValue,
} from "./decisions.ts";

/** A range of system call numbers, from `start` up to the next range's start. */
export interface Range {
  start: number;
  decision: Decision;
  /** Equal for equal decisions. */
  key: string;
}

const END = 0x1_0000_0000;

/** Covers all numbers from 0 to 2^32 by as few ranges as possible. */
export function rangesOf(members: readonly ArchitectureDecisions[], profile: Seccomp): Range[] {
  const fallback = returnValue(profile.defaultAction, profile.defaultErrnoRet);
  const strict = /_(ERRNO|KILL|KILL_PROCESS|KILL_THREAD|TRAP)$/.test(profile.defaultAction);
  const ranges: Range[] = [];
  const put = (start: number, decision: Decision) => {
    const key = keyOf(decision);
    if (ranges.at(-1)?.key !== key) ranges.push({ start, decision, key });
  };
  const named = members.some((member) => member.last >= 0);
  for (const member of members) {
    // Numbers without a rule get the default action, but ENOSYS above the highest number that the profile names.
    const newest = strict && named ? member.last : END;
    const fill = (from: number, to: number) => {
      if (from <= newest && from < to) put(from, fallback);
      if (to > newest + 1) put(Math.max(from, newest + 1), RETURN_ENOSYS);
    };
    let at = member.facts.offset ?? 0;
    for (const number of [...member.calls.keys()].sort((a, b) => a - b)) {
      fill(at, number);
      put(number, member.calls.get(number)!);
      at = number + 1;
    }
    fill(at, END);
  }
  const only = members.length === 1 && members[0]!.architecture === "SCMP_ARCH_X86_64";
  if (only && !(strict && named)) addX32Guard(ranges, fallback);
  return ranges;
}

// Without x32 in the profile, its calls are killed as those of a foreign architecture. -1 is not an x32 call: a tracer sets
// it to skip a call.
function addX32Guard(ranges: Range[], fallback: number): void {
  const kill = { decision: RETURN_KILL_THREAD, key: keyOf(RETURN_KILL_THREAD) };
  if (ranges.at(-1)!.key !== kill.key) ranges.push({ start: X32_BIT, ...kill });
  if (fallback !== RETURN_KILL_THREAD)
    ranges.push({ start: END - 1, decision: fallback, key: keyOf(fallback) });
}

function keyOf(decision: Decision): string {
  return typeof decision === "number"
    ? `${decision >>> 0}`
    : JSON.stringify(decision, (_key, v) => (typeof v === "bigint" ? `${v}` : v));
}

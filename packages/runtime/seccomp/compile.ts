/**
 * The seccomp compiler: an OCI profile becomes the classic BPF program that the kernel runs before every system
 * call of the container. Numbers are found by a binary search over ranges, so a call costs some ten
 * instructions however long the profile is.
 */
import { BerthError } from "@berth/base";
import type { Seccomp, SeccompArchitecture, SeccompFlag } from "@berth/oci";
import { FAMILIES, X32_BIT } from "./architectures.ts";
import { Assembler, OP } from "./assembler.ts";
import {
  type Alternative,
  type ArchitectureDecisions,
  type Condition,
  type Decision,
  decide,
  RETURN_ENOSYS,
  RETURN_KILL_THREAD,
  returnValue,
} from "./decisions.ts";

/** What the runtime hands to seccomp(2). */
export interface CompiledSeccomp {
  /** Array of struct sock_filter in the machine's byte order; 8 bytes each. */
  program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* bits, NEW_LISTENER included when `notify`. */
  flags: number;
  /** The filter returns a descriptor that must be sent to `listenerPath`. */
  notify: boolean;
}

const FLAG_BITS: Record<SeccompFlag, number> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1 << 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 1 << 5,
};
const FLAG_NEW_LISTENER = 1 << 3;

// struct seccomp_data of linux/seccomp.h.
const DATA_NR = 0;
const DATA_ARCH = 4;
const DATA_ARGS = 16;

/**
 * Compiles a valid profile for a machine. `native` is the machine's own architecture; of the profile's others
 * only those that the machine can run take part. Calls newer than any the profile knows fail with ENOSYS (as
 * in runc) unless the default lets them through, so that programs fall back to older calls.
 *
 * Throws "invalid_argument" when the profile cannot work, "unimplemented" for a machine without tables.
 */
export function compileSeccomp(profile: Seccomp, native: SeccompArchitecture): CompiledSeccomp {
  const family = FAMILIES[native];
  if (!family)
    throw new BerthError("unimplemented", `seccomp: there is no table of system calls for ${native}`, {
      stage: "seccomp",
      hint: "Remove linux.seccomp from the configuration to run without a filter.",
    });
  const notify = checkNotify(profile);
  const wanted = family.filter((a) => a === native || profile.architectures?.includes(a));
  const decisions = wanted.map((architecture) => decide(profile, architecture));
  const groups = new Map<number, ArchitectureDecisions[]>();
  for (const each of decisions) groups.set(each.facts.audit, [...(groups.get(each.facts.audit) ?? []), each]);

  const assembler = new Assembler();
  let next = assembler.return(RETURN_KILL_THREAD);
  for (const [audit, members] of [...groups].reverse()) {
    const block = new Block(assembler, members[0]!.facts.bigEndian ?? false);
    const search = block.search(rangesOf(members, profile));
    next = assembler.branch(OP.EQ, audit, assembler.load(DATA_NR, search), next);
  }
  const entry = assembler.load(DATA_ARCH, next);
  return {
    program: assembler.finish(entry, decisions[0]!.facts.bigEndian ?? false),
    flags: flagsOf(profile, notify),
    notify,
  };
}

function checkNotify(profile: Seccomp): boolean {
  const fail = (path: string, why: string): never => {
    throw new BerthError("invalid_argument", `linux.seccomp.${path}: SCMP_ACT_NOTIFY ${why}`, {
      stage: "seccomp",
    });
  };
  if (profile.defaultAction === "SCMP_ACT_NOTIFY")
    fail("defaultAction", "cannot be used as default action: the container could not even be set up");
  let notify = false;
  (profile.syscalls ?? []).forEach((rule, i) => {
    if (rule.action !== "SCMP_ACT_NOTIFY") return;
    // The runtime itself writes between loading the filter and sending the descriptor.
    if (rule.names.includes("write")) fail(`syscalls[${i}].action`, "cannot be used for the write syscall");
    notify = true;
  });
  if (notify && !profile.listenerPath)
    throw new BerthError(
      "invalid_argument",
      "linux.seccomp.listenerPath: found nothing, expected a socket's path, as a rule uses SCMP_ACT_NOTIFY",
      { stage: "seccomp" },
    );
  return notify;
}

function flagsOf(profile: Seccomp, notify: boolean): number {
  // Without a wish, as runc: do not slow the container down by speculation barriers.
  const wanted = profile.flags ?? ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
  let bits = wanted.reduce((sum, flag) => sum | FLAG_BITS[flag], 0);
  // The process that loads the filter has one thread: there is nothing to synchronise.
  bits &= ~FLAG_BITS.SECCOMP_FILTER_FLAG_TSYNC;
  if (notify) bits |= FLAG_NEW_LISTENER;
  else bits &= ~FLAG_BITS.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  return bits;
}

/** A range of numbers from `start` up to the next range's start. */
interface Range {
  start: number;
  decision: Decision;
  /** Same key, same decision. */
  key: string;
}

const END = 0x1_0000_0000;

// All numbers from 0 to 2^32, as few ranges as possible.
function rangesOf(members: readonly ArchitectureDecisions[], profile: Seccomp): Range[] {
  const fallback = returnValue(profile.defaultAction, profile.defaultErrnoRet);
  const strict = /_(ERRNO|KILL|KILL_PROCESS|KILL_THREAD|TRAP)$/.test(profile.defaultAction);
  const ranges: Range[] = [];
  const put = (start: number, decision: Decision) => {
    const key = keyOf(decision);
    if (ranges.at(-1)?.key !== key) ranges.push({ start, decision, key });
  };
  const some = members.some((member) => member.last >= 0);
  for (const member of members) {
    // Numbers without a rule get the default, those above all that the profile names ENOSYS.
    const newest = strict && some ? member.last : END;
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
  if (only && !(strict && some)) addX32Guard(ranges, fallback);
  return ranges;
}

// Where x32 is not in the profile its calls are those of a foreign architecture. -1 is no x32 call: it is what
// a tracer puts there to skip one.
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

/** Makes the code of one audit architecture. */
class Block {
  readonly #assembler: Assembler;
  readonly #bigEndian: boolean;
  readonly #made = new Map<string, number>();

  constructor(assembler: Assembler, bigEndian: boolean) {
    this.#assembler = assembler;
    this.#bigEndian = bigEndian;
  }

  /** Binary search over ranges[from, to); A holds the number. */
  search(ranges: readonly Range[], from = 0, to = ranges.length): number {
    if (to - from === 1) return this.#leaf(ranges[from]!);
    const middle = from + ((to - from) >> 1);
    const start = ranges[middle]!.start;
    // One number with the same left and right of it needs one comparison instead of two.
    if (
      to - from === 3 &&
      ranges[from]!.key === ranges[from + 2]!.key &&
      ranges[from + 2]!.start === start + 1
    ) {
      const around = this.#leaf(ranges[from]!);
      return this.#assembler.branch(OP.EQ, start, this.#leaf(ranges[middle]!), around);
    }
    const right = this.search(ranges, middle, to);
    const left = this.search(ranges, from, middle);
    return this.#assembler.branch(OP.GE, start, right, left);
  }

  #leaf(range: Range): number {
    const { decision, key } = range;
    if (typeof decision === "number") return this.#assembler.return(decision);
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    let next = this.#assembler.return(decision.otherwise);
    for (const alternative of decision.alternatives.toReversed()) next = this.#alternative(alternative, next);
    this.#made.set(key, next);
    return next;
  }

  #alternative(alternative: Alternative, otherwise: number): number {
    let next = this.#assembler.return(alternative.result);
    for (const condition of alternative.conditions.toReversed())
      next = this.#compare(condition, next, otherwise);
    return next;
  }

  // 64-bit comparisons are made in two halves, upper half first; 32-bit architectures have no upper half.
  #compare(condition: Condition, hit: number, miss: number): number {
    switch (condition.op) {
      case "SCMP_CMP_EQ":
        return this.#equal(condition, hit, miss);
      case "SCMP_CMP_NE":
        return this.#equal(condition, miss, hit);
      case "SCMP_CMP_GT":
        return this.#ordered(OP.GT, condition, hit, miss);
      case "SCMP_CMP_GE":
        return this.#ordered(OP.GE, condition, hit, miss);
      case "SCMP_CMP_LT":
        return this.#ordered(OP.GE, condition, miss, hit);
      case "SCMP_CMP_LE":
        return this.#ordered(OP.GT, condition, miss, hit);
      case "SCMP_CMP_MASKED_EQ":
        return this.#masked(condition, hit, miss);
    }
  }

  #equal(condition: Condition, hit: number, miss: number): number {
    const code = this.#assembler;
    const low = this.#load(condition, "low", code.branch(OP.EQ, lowHalf(condition.value), hit, miss));
    if (condition.bits === 32) return low;
    return this.#load(condition, "high", code.branch(OP.EQ, highHalf(condition.value), low, miss));
  }

  #ordered(op: number, condition: Condition, hit: number, miss: number): number {
    const code = this.#assembler;
    const low = this.#load(condition, "low", code.branch(op, lowHalf(condition.value), hit, miss));
    if (condition.bits === 32) return low;
    const high = highHalf(condition.value);
    const same = code.branch(OP.EQ, high, low, miss);
    return this.#load(condition, "high", code.branch(OP.GT, high, hit, same));
  }

  #masked(condition: Condition, hit: number, miss: number): number {
    const low = this.#maskedHalf(condition, "low", lowHalf, hit, miss);
    return condition.bits === 32 ? low : this.#maskedHalf(condition, "high", highHalf, low, miss);
  }

  #maskedHalf(
    condition: Condition,
    half: "low" | "high",
    of: (value: bigint) => number,
    hit: number,
    miss: number,
  ): number {
    const mask = of(condition.mask);
    if (mask === 0) return hit;
    const code = this.#assembler;
    return this.#load(condition, half, code.and(mask, code.branch(OP.EQ, of(condition.value), hit, miss)));
  }

  #load(condition: Condition, half: "low" | "high", next: number): number {
    const second = (half === "high") !== this.#bigEndian;
    return this.#assembler.load(DATA_ARGS + condition.index * 8 + (second ? 4 : 0), next);
  }
}

const lowHalf = (value: bigint): number => Number(value & 0xffffffffn);
const highHalf = (value: bigint): number => Number(value >> 32n);

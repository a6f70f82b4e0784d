/** Generates classic BPF from ranges of system call numbers and their decisions. */
import { type Assembler, OP } from "./assembler.ts";
import type { Alternative, Condition } from "./decisions.ts";
import type { Range } from "./ranges.ts";

/** Offset of `args` in struct seccomp_data (linux/seccomp.h). */
const DATA_ARGS = 16;

/** Generates the code of one audit architecture. */
export class CodeGenerator {
  readonly #assembler: Assembler;
  readonly #bigEndian: boolean;
  readonly #leaves = new Map<string, number>();

  constructor(assembler: Assembler, bigEndian: boolean) {
    this.#assembler = assembler;
    this.#bigEndian = bigEndian;
  }

  /** Generates a binary search over ranges[from, to) for the number in A; returns its position. */
  search(ranges: readonly Range[], from = 0, to = ranges.length): number {
    if (to - from === 1) return this.#leaf(ranges[from]!);
    const middle = from + ((to - from) >> 1);
    const start = ranges[middle]!.start;
    // A single number between two equal ranges needs one comparison instead of two.
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
    const known = this.#leaves.get(key);
    if (known !== undefined) return known;
    let next = this.#assembler.return(decision.otherwise);
    for (const alternative of decision.alternatives.toReversed()) next = this.#alternative(alternative, next);
    this.#leaves.set(key, next);
    return next;
  }

  #alternative(alternative: Alternative, otherwise: number): number {
    let next = this.#assembler.return(alternative.result);
    for (const condition of alternative.conditions.toReversed())
      next = this.#compare(condition, next, otherwise);
    return next;
  }

  // 64-bit values are compared in two halves, upper half first; 32-bit architectures have only the lower half.
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

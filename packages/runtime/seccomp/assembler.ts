/**
 * An assembler for classic BPF. It emits code from the end to the beginning, so that every jump's target is known when the
 * jump is emitted. Positions count from the end: the last instruction is 0.
 */
import { BerthError } from "@berth/base";

/** Opcodes of linux/bpf_common.h that filters use. */
export const OP = {
  /** A = 32-bit word of seccomp_data at k. */
  LOAD: 0x20,
  AND: 0x54,
  JUMP: 0x05,
  /** if (A == k), if (A > k), if (A >= k), unsigned. */
  EQ: 0x15,
  GT: 0x25,
  GE: 0x35,
  RETURN: 0x06,
} as const;

/** The kernel's limit for a filter, in instructions (BPF_MAXINSNS). */
const MAX_INSTRUCTIONS = 4096;
const MAX_OFFSET = 255;

interface Instruction {
  op: number;
  t: number;
  f: number;
  k: number;
}

/** A program under construction; see the module comment. */
export class Assembler {
  readonly #code: Instruction[] = [];
  readonly #returns = new Map<number, number>();

  #push(op: number, t: number, f: number, k: number): number {
    this.#code.push({ op, t, f, k: k >>> 0 });
    return this.#code.length - 1;
  }

  #distance(target: number): number {
    return this.#code.length - target - 1;
  }

  // A position equivalent to `target` that the next two instructions can reach with a short jump.
  #near(target: number): number {
    if (this.#distance(target) + 1 <= MAX_OFFSET) return target;
    const there = this.#code[target]!;
    if (there.op === OP.RETURN) return this.return(there.k);
    return this.#push(OP.JUMP, 0, 0, this.#distance(target));
  }

  /** Position of an instruction that returns `value`; reuses one that is within reach. */
  return(value: number): number {
    const known = this.#returns.get(value >>> 0);
    if (known !== undefined && this.#distance(known) + 1 <= MAX_OFFSET) return known;
    const position = this.#push(OP.RETURN, 0, 0, value);
    this.#returns.set(value >>> 0, position);
    return position;
  }

  /** Compares A with `k`, then continues at `whenTrue` or `whenFalse`. */
  branch(op: number, k: number, whenTrue: number, whenFalse: number): number {
    if (whenTrue === whenFalse) return whenTrue;
    const t = this.#near(whenTrue);
    const f = this.#near(whenFalse);
    return this.#push(op, this.#distance(t), this.#distance(f), k);
  }

  /** Loads the word of seccomp_data at `offset` to A, then continues at `next`. */
  load(offset: number, next: number): number {
    this.#fallInto(next);
    return this.#push(OP.LOAD, 0, 0, offset);
  }

  /** Masks A, then continues at `next`. */
  and(mask: number, next: number): number {
    this.#fallInto(next);
    return this.#push(OP.AND, 0, 0, mask);
  }

  #fallInto(next: number): void {
    if (next !== this.#code.length - 1) this.#push(OP.JUMP, 0, 0, this.#distance(next));
  }

  /** Encodes the program as an array of struct sock_filter that starts at `entry`. */
  finish(entry: number, bigEndian: boolean): Uint8Array {
    this.#fallInto(entry);
    if (this.#code.length > MAX_INSTRUCTIONS)
      throw new BerthError(
        "invalid_argument",
        `seccomp: the profile needs ${this.#code.length} instructions, the kernel takes ${MAX_INSTRUCTIONS}`,
        { stage: "seccomp", hint: "Use fewer rules with arguments, or fewer architectures." },
      );
    const bytes = new Uint8Array(this.#code.length * 8);
    const view = new DataView(bytes.buffer);
    this.#code.toReversed().forEach((instruction, i) => {
      view.setUint16(i * 8, instruction.op, !bigEndian);
      view.setUint8(i * 8 + 2, instruction.t);
      view.setUint8(i * 8 + 3, instruction.f);
      view.setUint32(i * 8 + 4, instruction.k, !bigEndian);
    });
    return bytes;
  }
}

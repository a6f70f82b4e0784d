/**
 * Evaluates a profile for one architecture: what the filter does for each system call number.
 *
 * The semantics are those of runc with libseccomp. The first unconditional rule of a call wins over all others, then the
 * first conditional rule whose conditions hold, then the default action. A rule with the default's result is dropped, and
 * names that an architecture lacks are ignored. Several conditions on the same argument in one rule are alternatives.
 */
import { BerthError } from "@berth/base";
import type { Seccomp, SeccompAction, SeccompArchitecture, SeccompArg, SeccompOperator } from "@berth/oci";
import { ARCHITECTURES, type ArchitectureFacts, multiplexerOf } from "./architectures.ts";
import { syscallsOf } from "./syscalls/index.ts";

/** A comparison, with operands truncated to the architecture's bits and masked. */
export interface Condition {
  /** Number of bits compared. */
  bits: 32 | 64;
  index: number;
  op: SeccompOperator;
  /** Only for MASKED_EQ. */
  mask: bigint;
  value: bigint;
}

/** Conditions, and the filter's return value if all of them hold. */
export interface Alternative {
  conditions: readonly Condition[];
  result: number;
}

/** A return value, or alternatives in order and a return value if none applies. */
export type Decision = number | { alternatives: readonly Alternative[]; otherwise: number };

/** Decisions of one architecture. */
export interface ArchitectureDecisions {
  architecture: SeccompArchitecture;
  facts: ArchitectureFacts;
  /** Decisions by number, as in seccomp_data (with x32's bit). */
  calls: Map<number, Decision>;
  /** Highest number that the profile names; -1 if it names none of this architecture. */
  last: number;
}

/** Return value for ENOSYS. */
export const RETURN_ENOSYS = 0x00050000 | 38;
/** Return value that kills the thread, for calls of an architecture that is not in the profile. */
export const RETURN_KILL_THREAD = 0;

const BASE_RETURNS: Record<SeccompAction, number> = {
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

/** The return value of an action; ERRNO and TRACE carry `data`, by default EPERM. */
export function returnValue(action: SeccompAction, data: number | undefined): number {
  const base = BASE_RETURNS[action];
  const carries = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
  return carries ? base | ((data ?? 1) & 0xffff) : base;
}

/** Evaluates a validated profile for one architecture; "unimplemented" if there is no table of its calls. */
export function decide(profile: Seccomp, architecture: SeccompArchitecture): ArchitectureDecisions {
  const facts = ARCHITECTURES[architecture];
  const table = syscallsOf(architecture);
  if (!facts || !table)
    throw new BerthError("unimplemented", `seccomp: there is no table of system calls for ${architecture}`, {
      stage: "seccomp",
    });
  const fallback = returnValue(profile.defaultAction, profile.defaultErrnoRet);
  const calls = new Map<number, Decision>();
  const offset = facts.offset ?? 0;
  let last = -1;

  const add = (number: number, conditions: readonly Condition[], result: number) => {
    const known = calls.get(number);
    if (typeof known === "number") return;
    if (conditions.length === 0) calls.set(number, result);
    else
      calls.set(number, {
        alternatives: [...(known?.alternatives ?? []), { conditions, result }],
        otherwise: fallback,
      });
  };

  for (const rule of profile.syscalls ?? []) {
    const result = returnValue(rule.action, rule.errnoRet);
    const alternatives = alternativesOf(rule.args ?? [], facts.bits);
    for (const name of rule.names) {
      const direct = table.get(name);
      const multiplexer = facts.multiplexed ? multiplexerOf(name) : undefined;
      // As in runc: libseccomp has negative numbers for multiplexed calls, which do not raise the highest number.
      if (direct !== undefined && !multiplexer) last = Math.max(last, direct + offset);
      if (result === fallback) continue;
      for (const conditions of alternatives) {
        if (direct !== undefined) add(direct + offset, conditions, result);
        if (multiplexer) {
          // The call's own arguments are in memory, which a filter cannot read: only the selector can be compared.
          const selector: Condition = {
            bits: facts.bits,
            index: 0,
            op: "SCMP_CMP_EQ",
            mask: 0n,
            value: BigInt(multiplexer.selector),
          };
          const rest = conditions.filter((condition) => condition.index !== 0);
          add(table.get(multiplexer.call)!, [selector, ...rest], result);
        }
      }
    }
  }
  return { architecture, facts, calls, last };
}

function alternativesOf(args: readonly SeccompArg[], bits: 32 | 64): Condition[][] {
  const conditions = args.map((arg) => conditionOf(arg, bits));
  const indexes = new Set(args.map((arg) => arg.index));
  return indexes.size < args.length ? conditions.map((condition) => [condition]) : [conditions];
}

function conditionOf(arg: SeccompArg, bits: 32 | 64): Condition {
  const value = BigInt.asUintN(bits, BigInt(arg.value));
  if (arg.op !== "SCMP_CMP_MASKED_EQ") return { bits, index: arg.index, op: arg.op, mask: 0n, value };
  return { bits, index: arg.index, op: arg.op, mask: value, value: value & BigInt(arg.valueTwo ?? 0) };
}

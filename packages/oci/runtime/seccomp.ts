/** linux.seccomp of config.json: the system call filter. */
import type { Int64 } from "./spec.ts";

/** Actions of seccomp(2), in libseccomp's names. KILL means KILL_THREAD. */
export const SECCOMP_ACTIONS = [
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
] as const;
/** Action for a call. */
export type SeccompAction = (typeof SECCOMP_ACTIONS)[number];

/** Comparisons of an argument with a value, in libseccomp's names. */
export const SECCOMP_OPERATORS = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;
/** A comparison. */
export type SeccompOperator = (typeof SECCOMP_OPERATORS)[number];

/** Architectures the specification names; a runtime may not know the tables of all. */
export const SECCOMP_ARCHITECTURES = [
  "SCMP_ARCH_X86",
  "SCMP_ARCH_X86_64",
  "SCMP_ARCH_X32",
  "SCMP_ARCH_ARM",
  "SCMP_ARCH_AARCH64",
  "SCMP_ARCH_LOONGARCH64",
  "SCMP_ARCH_M68K",
  "SCMP_ARCH_MIPS",
  "SCMP_ARCH_MIPS64",
  "SCMP_ARCH_MIPS64N32",
  "SCMP_ARCH_MIPSEL",
  "SCMP_ARCH_MIPSEL64",
  "SCMP_ARCH_MIPSEL64N32",
  "SCMP_ARCH_PPC",
  "SCMP_ARCH_PPC64",
  "SCMP_ARCH_PPC64LE",
  "SCMP_ARCH_S390",
  "SCMP_ARCH_S390X",
  "SCMP_ARCH_SH",
  "SCMP_ARCH_SHEB",
  "SCMP_ARCH_PARISC",
  "SCMP_ARCH_PARISC64",
  "SCMP_ARCH_RISCV64",
] as const;
/** An architecture's name. */
export type SeccompArchitecture = (typeof SECCOMP_ARCHITECTURES)[number];

/** Filter flags of seccomp(2). */
export const SECCOMP_FLAGS = [
  "SECCOMP_FILTER_FLAG_TSYNC",
  "SECCOMP_FILTER_FLAG_LOG",
  "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
  "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
] as const;
/** A filter flag's name. */
export type SeccompFlag = (typeof SECCOMP_FLAGS)[number];

/** A seccomp profile in the specification's form (no conditions on capabilities; see `dockerSeccomp`). */
export interface Seccomp {
  /** For calls that no rule matches. */
  defaultAction: SeccompAction;
  /** errno of a defaultAction ERRNO (or TRACE: its message); EPERM when absent. */
  defaultErrnoRet?: number;
  /** Besides the native one. */
  architectures?: SeccompArchitecture[];
  flags?: SeccompFlag[];
  /** Socket to send the NOTIFY file descriptor to. */
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: SeccompRule[];
}

/** A rule for some calls: all conditions in `args` must hold. */
export interface SeccompRule {
  names: string[];
  action: SeccompAction;
  errnoRet?: number;
  args?: SeccompArg[];
}

/** A condition on an argument, compared as an unsigned 64-bit value. */
export interface SeccompArg {
  /** 0 to 5. */
  index: number;
  value: Int64;
  /** MASKED_EQ: (argument & value) == valueTwo. */
  valueTwo?: Int64;
  op: SeccompOperator;
}

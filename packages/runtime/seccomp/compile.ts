/**
 * The seccomp compiler: converts an OCI profile to the classic BPF program that the kernel runs before every system call of
 * the container. Calls are looked up by a binary search over ranges of numbers, so a call costs about ten instructions
 * however long the profile is.
 */
import { BerthError } from "@berth/base";
import type { Seccomp, SeccompArchitecture, SeccompFlag } from "@berth/oci";
import { FAMILIES } from "./architectures.ts";
import { Assembler, OP } from "./assembler.ts";
import { CodeGenerator } from "./code-generator.ts";
import { type ArchitectureDecisions, decide, RETURN_KILL_THREAD } from "./decisions.ts";
import { rangesOf } from "./ranges.ts";

/** A compiled profile, for seccomp(2). */
export interface CompiledSeccomp {
  /** Array of struct sock_filter in the machine's byte order; 8 bytes each. */
  program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* bits, including NEW_LISTENER if `notify` is set. */
  flags: number;
  /** Whether the filter has a listener, whose descriptor must be sent to `listenerPath`. */
  notify: boolean;
}

const FLAG_BITS: Record<SeccompFlag, number> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1 << 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 1 << 5,
};
const FLAG_NEW_LISTENER = 1 << 3;

// Offsets in struct seccomp_data (linux/seccomp.h).
const DATA_NR = 0;
const DATA_ARCH = 4;

/**
 * Compiles a validated profile for a machine of the architecture `native`; the profile's other architectures are included if
 * the machine can run them. Calls newer than any that the profile names fail with ENOSYS (as in runc) unless the default
 * action allows them, so that programs fall back to older calls.
 *
 * Throws "invalid_argument" if the profile cannot work, "unimplemented" for a machine without tables.
 */
export function compileSeccomp(profile: Seccomp, native: SeccompArchitecture): CompiledSeccomp {
  const family = FAMILIES[native];
  if (!family)
    throw new BerthError("unimplemented", `seccomp: there is no table of system calls for ${native}`, {
      stage: "seccomp",
      hint: "Remove linux.seccomp from the configuration to run without a filter.",
    });
  const notify = checkNotify(profile);
  const architectures = family.filter((a) => a === native || profile.architectures?.includes(a));
  const decisions = architectures.map((architecture) => decide(profile, architecture));
  const groups = new Map<number, ArchitectureDecisions[]>();
  for (const each of decisions) groups.set(each.facts.audit, [...(groups.get(each.facts.audit) ?? []), each]);

  const assembler = new Assembler();
  let next = assembler.return(RETURN_KILL_THREAD);
  for (const [audit, members] of [...groups].reverse()) {
    const generator = new CodeGenerator(assembler, members[0]!.facts.bigEndian ?? false);
    const search = generator.search(rangesOf(members, profile));
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
    // berth-init itself calls write(2) between loading the filter and sending the listener.
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
  // runc's default: no speculation mitigations, which would slow the container down.
  const flags = profile.flags ?? ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
  let bits = flags.reduce((sum, flag) => sum | FLAG_BITS[flag], 0);
  // The process that loads the filter has only one thread.
  bits &= ~FLAG_BITS.SECCOMP_FILTER_FLAG_TSYNC;
  if (notify) bits |= FLAG_NEW_LISTENER;
  else bits &= ~FLAG_BITS.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  return bits;
}

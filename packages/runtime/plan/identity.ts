/** Operations that turn the new process into the user, with the rights and limits, that `process` describes. */
import { BerthError } from "@berth/base";
import { CAPABILITIES, type Capabilities, type Process, RLIMITS } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";

const PERSONALITIES: Readonly<Record<string, number>> = { LINUX: 0, LINUX32: 8 };
const utf8 = new TextEncoder();

/** A set of capability names as a mask; names that are not known are left out (the validator warns of them). */
function capabilityMask(names: readonly string[] | undefined): bigint {
  let mask = 0n;
  for (const name of names ?? []) {
    const number = CAPABILITIES.indexOf(name);
    if (number >= 0) mask |= 1n << BigInt(number);
  }
  return mask;
}

/** Adds rlimit operations. */
export function planRlimits(b: PlanBuilder, process: Process): void {
  b.stage("process");
  for (const limit of process.rlimits ?? []) {
    b.add("child", `limit ${limit.type} to ${limit.soft}, at most ${limit.hard}`, "rlimit", [
      RLIMITS.indexOf(limit.type),
      BigInt(limit.soft),
      BigInt(limit.hard),
    ]);
  }
}

function planCapabilities(b: PlanBuilder, caps: Capabilities | undefined): void {
  const effective = capabilityMask(caps?.effective);
  const permitted = capabilityMask(caps?.permitted);
  const inheritable = capabilityMask(caps?.inheritable);
  b.add("child", `hold the capabilities ${caps?.effective?.join(" ") || "none"}`, "capset", [
    effective,
    permitted,
    inheritable,
  ]);
  // One by one: the kernel refuses those that are not permitted and inheritable, which is a warning as in runc.
  for (const name of new Set(caps?.ambient ?? [])) {
    const mask = capabilityMask([name]);
    if (mask !== 0n)
      b.add("child", `raise ambient capability ${name}`, "ambient", [mask], { optional: true });
  }
}

/** What the identity depends on besides `process`. */
export interface IdentityContext {
  /** linux.personality. */
  personality: { domain: string; flags?: readonly string[] } | undefined;
  /** A mapping of groups that forbids setgroups(2), as an unprivileged user's. */
  setgroupsDenied: boolean;
  /** Adds what must come while the process still has all its rights: a seccomp filter. */
  filter(): void;
}

/**
 * Labels go into the host's own procfs, opened before anything of the container's is in the way: a volume on the container's
 * /proc could swallow them (CVE-2019-16884, CVE-2025-52881).
 */
function planLabels(b: PlanBuilder, process: Process): void {
  const { apparmorProfile, selinuxLabel } = process;
  if (!apparmorProfile && !selinuxLabel) return;
  const proc = b.slot();
  b.add("setup", "open the host's /proc", "open", [proc, "/proc", linux.O_PATH | linux.O_DIRECTORY, 0]);
  if (apparmorProfile) {
    b.add("child", `enter the AppArmor profile ${apparmorProfile} at exec`, "write_in", [
      proc,
      "thread-self/attr/apparmor/exec",
      utf8.encode(`exec ${apparmorProfile}`),
    ]);
  }
  if (selinuxLabel) {
    b.add("child", `take the SELinux label ${selinuxLabel} at exec`, "write_in", [
      proc,
      "thread-self/attr/exec",
      utf8.encode(selinuxLabel),
    ]);
  }
  b.add("child", "close the host's /proc", "close", [proc]);
}

/** Adds the operations from personality to umask. */
export function planIdentity(b: PlanBuilder, process: Process, ctx: IdentityContext): void {
  const { user } = process;
  if (ctx.personality !== undefined) {
    if (ctx.personality.flags !== undefined && ctx.personality.flags.length > 0) {
      throw new BerthError("unimplemented", "linux.personality.flags: not supported", { stage: "process" });
    }
    b.stage("process").add("child", `run as ${ctx.personality.domain}`, "personality", [
      PERSONALITIES[ctx.personality.domain] ?? 0,
    ]);
  }
  b.stage("security");
  planLabels(b, process);
  if (process.noNewPrivileges) b.add("child", "gain no privileges from now on", "no_new_privs", []);
  ctx.filter();
  b.stage("security");
  b.add("child", `bound capabilities to ${process.capabilities?.bounding?.length ?? 0}`, "bounding", [
    capabilityMask(process.capabilities?.bounding),
  ]);
  b.add("child", "keep capabilities across the change of user", "keepcaps", [1]);
  if (!ctx.setgroupsDenied) {
    const groups = user.additionalGids ?? [];
    b.add("child", `take the groups ${groups.join(" ") || "none"}`, "setgroups", groups);
  } else if ((user.additionalGids ?? []).length > 0) {
    throw new BerthError(
      "failed_precondition",
      "process.user.additionalGids: the user namespace forbids setgroups",
      { stage: "process" },
    );
  }
  b.add("child", `become group ${user.gid}`, "setgid", [user.gid]);
  b.add("child", `become user ${user.uid}`, "setuid", [user.uid]);
  b.add("child", "stop keeping capabilities", "keepcaps", [0]);
  planCapabilities(b, process.capabilities);
  if (user.umask !== undefined)
    b.add("child", `mask new files with 0${user.umask.toString(8)}`, "umask", [user.umask]);
}

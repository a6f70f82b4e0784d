/** Operations that apply the user, capabilities, labels and limits of `process`. */
import { BerthError } from "@berth/base";
import { CAPABILITIES, type Capabilities, type Process, RLIMITS } from "@berth/oci";
import { linux } from "@berth/sys";
import type { PlanBuilder } from "./builder.ts";

const PERSONALITIES: Readonly<Record<string, number>> = { LINUX: 0, LINUX32: 8 };
const utf8 = new TextEncoder();

/** Converts capability names to a mask; unknown names are ignored (the validator warns about them). */
function capabilityMask(names: readonly string[] | undefined): bigint {
  let mask = 0n;
  for (const name of names ?? []) {
    const number = CAPABILITIES.indexOf(name);
    if (number >= 0) mask |= 1n << BigInt(number);
  }
  return mask;
}

/** Adds the process's resource limits. */
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
  // One by one: the kernel refuses a capability that is not permitted and inheritable, which is a warning as in runc.
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
  /** Whether setgroups(2) is denied, as in a user namespace of an unprivileged user. */
  setgroupsDenied: boolean;
  /** Adds a seccomp filter that must be loaded before capabilities are dropped. */
  filter(): void;
}

/**
 * Adds AppArmor and SELinux labels. They are written to the host's procfs, opened before the container's mounts exist: a
 * volume on the container's /proc could divert the writes (CVE-2019-16884, CVE-2025-52881).
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

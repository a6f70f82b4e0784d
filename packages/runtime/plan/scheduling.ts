/** Operations for a process's scheduler, IO priority, memory policy and CPU affinity. */
import { BerthError } from "@berth/base";
import type { CpuAffinity, IoPriority, MemoryPolicy, Process, Scheduler } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";
import { parseMask } from "./masks.ts";

/** linux/sched.h; ISO is reserved and not implemented. */
const POLICIES = ["OTHER", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLINE"];
const SCHEDULER_FLAGS = [
  "RESET_ON_FORK",
  "RECLAIM",
  "DL_OVERRUN",
  "KEEP_POLICY",
  "KEEP_PARAMS",
  "UTIL_CLAMP_MIN",
  "UTIL_CLAMP_MAX",
];
/** ioprio_set(2): the class is above the low 13 bits. */
const IO_CLASSES = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 } as const;
const IO_CLASS_SHIFT = 13;
/** linux/mempolicy.h */
const MEMORY_MODES = [
  "DEFAULT",
  "PREFERRED",
  "BIND",
  "INTERLEAVE",
  "LOCAL",
  "PREFERRED_MANY",
  "WEIGHTED_INTERLEAVE",
];
const MEMORY_FLAGS: Readonly<Record<string, number>> = {
  MPOL_F_STATIC_NODES: 1 << 15,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_NUMA_BALANCING: 1 << 13,
};
const SCHED_ATTR_SIZE = 56;

/** Encodes `struct sched_attr` (sched_setattr(2)). */
function packScheduler(scheduler: Scheduler): Uint8Array {
  const bytes = new Uint8Array(SCHED_ATTR_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, SCHED_ATTR_SIZE, true);
  view.setUint32(4, POLICIES.indexOf(scheduler.policy.slice("SCHED_".length)), true);
  let flags = 0n;
  for (const flag of scheduler.flags ?? [])
    flags |= 1n << BigInt(SCHEDULER_FLAGS.indexOf(flag.slice("SCHED_FLAG_".length)));
  view.setBigUint64(8, flags, true);
  view.setInt32(16, scheduler.nice ?? 0, true);
  view.setUint32(20, scheduler.priority ?? 0, true);
  view.setBigUint64(24, BigInt(scheduler.runtime ?? 0), true);
  view.setBigUint64(32, BigInt(scheduler.deadline ?? 0), true);
  view.setBigUint64(40, BigInt(scheduler.period ?? 0), true);
  return bytes;
}

function planIoPriority(b: PlanBuilder, io: IoPriority): void {
  const value = (IO_CLASSES[io.class] << IO_CLASS_SHIFT) | io.priority;
  b.add("child", `take the IO priority ${io.class} ${io.priority}`, "ioprio_set", [value]);
}

function invalid(field: string, what: string, found: unknown, expected: string): BerthError {
  return new BerthError(
    "invalid_argument",
    `linux.memoryPolicy.${field}: ${what}: found ${JSON.stringify(found) ?? "nothing"}, expected ${expected}`,
    { stage: "config" },
  );
}

function countBits(mask: Uint8Array): number {
  let count = 0;
  for (const byte of mask) for (let bits = byte; bits; bits &= bits - 1) count++;
  return count;
}

function planMemoryPolicy(b: PlanBuilder, policy: MemoryPolicy): void {
  const mode = MEMORY_MODES.findIndex((name) => `MPOL_${name}` === policy.mode);
  if (mode < 0) {
    const known = MEMORY_MODES.map((name) => `MPOL_${name}`).join(", ");
    throw invalid("mode", "invalid memory policy mode", policy.mode, `one of ${known}`);
  }
  let flags = 0;
  for (const flag of policy.flags ?? []) {
    const bit = MEMORY_FLAGS[flag];
    if (bit === undefined)
      throw invalid(
        "flags",
        "invalid memory policy flag",
        flag,
        `one of ${Object.keys(MEMORY_FLAGS).join(", ")}`,
      );
    flags |= bit;
  }
  const mask = parseMask(policy.nodes ?? "", "linux.memoryPolicy.nodes", "memory policy node list");
  const count = countBits(mask);
  const takesNoNodes = policy.mode === "MPOL_DEFAULT" || policy.mode === "MPOL_LOCAL";
  // MPOL_PREFERRED accepts an empty list, which means the local node.
  if (takesNoNodes && count > 0)
    throw invalid("nodes", `memory policy mode requires 0 nodes but got ${count}`, policy.nodes, "none");
  if (!takesNoNodes && policy.mode !== "MPOL_PREFERRED" && count === 0)
    throw invalid(
      "nodes",
      "memory policy mode requires at least one node but got 0",
      policy.nodes,
      'as "0-1"',
    );
  const words = `allocate memory by ${policy.mode}${count ? ` on nodes ${policy.nodes}` : ""}`;
  b.add("child", words, "set_mempolicy", [mode | flags, mask]);
}

/** Adds the scheduler, IO priority and memory policy of a process. */
export function planScheduling(b: PlanBuilder, process: Process, policy: MemoryPolicy | undefined): void {
  b.stage("process");
  const { scheduler, ioPriority } = process;
  if (scheduler !== undefined)
    b.add("child", `be scheduled by ${scheduler.policy}`, "sched_setattr", [packScheduler(scheduler)]);
  if (ioPriority !== undefined) planIoPriority(b, ioPriority);
  if (policy !== undefined) planMemoryPolicy(b, policy);
}

/** All CPUs of the largest machine; the kernel intersects them with the cpuset. */
const ALL_CPUS = new Uint8Array(1024).fill(0xff);

/**
 * Adds the CPU affinity. The caller's own affinity is reset, so that only the container's cpuset applies. exec may request
 * one until the process has joined its cgroup (`initial`), and one from then on (`final`).
 */
export function planAffinity(b: PlanBuilder, affinity: CpuAffinity | undefined): void {
  b.stage("process");
  if (affinity?.initial) {
    const mask = parseMask(affinity.initial, "process.execCPUAffinity.initial", "CPU affinity");
    b.add("setup", `start on the CPUs ${affinity.initial}`, "sched_setaffinity", [mask]);
  }
  if (affinity?.final) {
    const mask = parseMask(affinity.final, "process.execCPUAffinity.final", "CPU affinity");
    b.add("child", `run on the CPUs ${affinity.final}`, "sched_setaffinity", [mask]);
  } else if (!affinity?.initial) {
    b.add("child", "run on any CPU of its cgroup", "sched_setaffinity", [ALL_CPUS], { optional: true });
  }
}

/** Names of memory policies and their flags, for `features`. */
export function memoryPolicyNames(): { modes: string[]; flags: string[] } {
  return {
    modes: MEMORY_MODES.map((name) => `MPOL_${name}`).sort(),
    flags: Object.keys(MEMORY_FLAGS).sort(),
  };
}

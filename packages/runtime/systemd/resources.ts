/** Converts linux.resources to properties of a unit (systemd.resource-control(5)), for both cgroup versions. Pure. */
import { BerthError } from "@berth/base";
import type { CpuLimits, Int64, Resources } from "@berth/oci";
import { weightOfShares } from "../cgroups/resources.ts";
import type { Property } from "./manager.ts";

const INFINITY = 2n ** 64n - 1n;
const DEFAULT_PERIOD = 100_000n;
/** systemd rounds quotas to one percent of a CPU (in microseconds per second). */
const QUOTA_STEP = 10_000n;
/** The systemd versions that introduced properties. */
const SINCE = { quotaPeriod: 242, cpusets: 244, idle: 252 } as const;

/** What the properties depend on besides the limits. */
export interface ResourceContext {
  /** Whether the controllers are on cgroup version 2. */
  unified: boolean;
  /** systemd's major version. */
  version: number;
}

const big = (name: string, value: Int64): Property => {
  const n = BigInt(value);
  return [name, { signature: "t", value: n < 0n ? INFINITY : n }];
};
const isSet = (value: Int64 | undefined): value is Int64 => value !== undefined && BigInt(value) !== 0n;

/** Converts a list such as "0-2,7" to a bit mask, lowest byte first. */
export function cpusetBits(list: string): number[] {
  const bytes: number[] = [];
  for (const part of list
    .split(",")
    .map((p) => p.trim())
    .filter(Boolean)) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    const [from, to] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (match === null || to < from || to > 8191)
      throw new BerthError(
        "invalid_argument",
        `a cpuset: found ${JSON.stringify(list)}, expected a list such as "0-2,7"`,
        {
          stage: "systemd",
        },
      );
    for (let n = from; n <= to; n++) {
      while (bytes.length <= n >> 3) bytes.push(0);
      bytes[n >> 3] = bytes[n >> 3]! | (1 << (n & 7));
    }
  }
  return bytes;
}

function quota(microseconds: Int64 | undefined, period: Int64 | undefined, version: number): Property[] {
  const out: Property[] = [];
  if (isSet(period) && version >= SINCE.quotaPeriod) out.push(big("CPUQuotaPeriodUSec", period));
  if (!isSet(microseconds)) return out;
  const per = isSet(period) ? BigInt(period) : DEFAULT_PERIOD;
  let perSecond = INFINITY;
  if (BigInt(microseconds) > 0n) {
    perSecond = (BigInt(microseconds) * 1_000_000n) / per;
    // Rounded up, so that the container gets at least its quota.
    perSecond = ((perSecond + QUOTA_STEP - 1n) / QUOTA_STEP) * QUOTA_STEP;
  }
  out.push(["CPUQuotaPerSecUSec", { signature: "t", value: perSecond }]);
  return out;
}

function cpusets(cpu: { cpus?: string | undefined; mems?: string | undefined }, version: number): Property[] {
  if (version < SINCE.cpusets) return [];
  const out: Property[] = [];
  if (cpu.cpus) out.push(["AllowedCPUs", { signature: "ay", value: cpusetBits(cpu.cpus) }]);
  if (cpu.mems) out.push(["AllowedMemoryNodes", { signature: "ay", value: cpusetBits(cpu.mems) }]);
  return out;
}

/** An idle cgroup has weight 0, whatever its shares. */
function weight(cpu: CpuLimits, version: number): Property[] {
  if (cpu.idle !== undefined && BigInt(cpu.idle) === 1n)
    return version >= SINCE.idle ? [["CPUWeight", { signature: "t", value: 0n }]] : [];
  return isSet(cpu.shares) ? [big("CPUWeight", weightOfShares(cpu.shares))] : [];
}

const number = (file: string, value: string): Int64 => {
  if (value.trim() === "max") return -1n;
  if (!/^\d+$/.test(value.trim()))
    throw new BerthError(
      "invalid_argument",
      `linux.resources.unified: ${file}: found ${JSON.stringify(value)}, expected a number or max`,
      {
        stage: "systemd",
      },
    );
  return BigInt(value.trim());
};

/** Properties for files of linux.resources.unified; systemd does not touch files without a property. */
function unifiedProperties(unified: Readonly<Record<string, string>>, version: number): Property[] {
  const names: Readonly<Record<string, string>> = {
    "memory.min": "MemoryMin",
    "memory.low": "MemoryLow",
    "memory.high": "MemoryHigh",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
    "cpu.weight": "CPUWeight",
  };
  const out: Property[] = [];
  for (const [file, value] of Object.entries(unified)) {
    const name = names[file];
    if (name !== undefined) out.push(big(name, number(file, value)));
    else if (file === "cpu.max") {
      const [max = "max", period] = value.trim().split(/\s+/);
      out.push(...quota(number(file, max), period === undefined ? undefined : number(file, period), version));
    } else if (file === "cpu.idle") out.push(...weight({ idle: Number(number(file, value)) }, version));
    else if (file === "cpuset.cpus") out.push(...cpusets({ cpus: value }, version));
    else if (file === "cpuset.mems") out.push(...cpusets({ mems: value }, version));
  }
  return out;
}

/** Inverts systemd's conversion of IOWeight (1 to 10000) to io.bfq.weight (1 to 1000): identity up to 100, then steps of 11. */
function ioWeight(weight: Int64): Int64 {
  const bfq = BigInt(weight);
  return bfq <= 100n ? bfq : 100n + (bfq - 100n) * 11n;
}

/** Properties equivalent to the cgroup's limits, so that systemd does not revert these when it writes the files. */
export function resourceProperties(resources: Resources, context: ResourceContext): Property[] {
  const { memory, cpu, pids, blockIO, unified } = resources;
  const out: Property[] = [];
  if (memory !== undefined) {
    if (!context.unified) {
      if (isSet(memory.limit)) out.push(big("MemoryLimit", memory.limit));
    } else {
      if (isSet(memory.limit)) out.push(big("MemoryMax", memory.limit));
      if (isSet(memory.reservation)) out.push(big("MemoryLow", memory.reservation));
      // Version 2 counts swap alone.
      if (isSet(memory.swap))
        out.push(
          big(
            "MemorySwapMax",
            BigInt(memory.swap) < 0n ? -1n : BigInt(memory.swap) - BigInt(memory.limit ?? 0),
          ),
        );
    }
  }
  if (cpu !== undefined) {
    if (context.unified) out.push(...weight(cpu, context.version), ...cpusets(cpu, context.version));
    else if (isSet(cpu.shares)) out.push(big("CPUShares", cpu.shares));
    out.push(...quota(cpu.quota, cpu.period, context.version));
  }
  if (isSet(blockIO?.weight))
    out.push(
      context.unified ? big("IOWeight", ioWeight(blockIO.weight)) : big("BlockIOWeight", blockIO.weight),
    );
  // systemd has no limit of 0, and init is a task already.
  if (pids?.limit !== undefined) out.push(big("TasksMax", BigInt(pids.limit) === 0n ? 1n : pids.limit));
  if (context.unified && unified !== undefined) out.push(...unifiedProperties(unified, context.version));
  return out;
}

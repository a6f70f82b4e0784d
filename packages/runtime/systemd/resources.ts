/** linux.resources as properties of a unit (systemd.resource-control(5)), for both versions of cgroups. Pure. */
import { BerthError } from "@berth/base";
import type { CpuLimits, Int64, Resources } from "@berth/oci";
import { weightOfShares } from "../cgroups/resources.ts";
import type { Property } from "./manager.ts";

const INFINITY = 2n ** 64n - 1n;
const DEFAULT_PERIOD = 100_000n;
/** systemd keeps quotas in steps of one percent of a processor. */
const QUOTA_STEP = 10_000n;
/** The first versions of systemd that know a property. */
const SINCE = { quotaPeriod: 242, cpusets: 244, idle: 252 } as const;

/** What the properties depend on besides the limits. */
export interface ResourceContext {
  /** The controllers are on cgroup version 2. */
  unified: boolean;
  /** systemd's version. */
  version: number;
}

const big = (name: string, value: Int64): Property => {
  const n = BigInt(value);
  return [name, { signature: "t", value: n < 0n ? INFINITY : n }];
};
const set = (value: Int64 | undefined): value is Int64 => value !== undefined && BigInt(value) !== 0n;

/** "0-2,7" as bits, the lowest first. */
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
  if (set(period) && version >= SINCE.quotaPeriod) out.push(big("CPUQuotaPeriodUSec", period));
  if (!set(microseconds)) return out;
  const per = set(period) ? BigInt(period) : DEFAULT_PERIOD;
  let perSecond = INFINITY;
  if (BigInt(microseconds) > 0n) {
    perSecond = (BigInt(microseconds) * 1_000_000n) / per;
    // Rounded up: less than was asked for would slow the container down.
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

/** An idle cgroup has the weight 0; its shares, if any, count only without. */
function weight(cpu: CpuLimits, version: number): Property[] {
  if (cpu.idle !== undefined && BigInt(cpu.idle) === 1n)
    return version >= SINCE.idle ? [["CPUWeight", { signature: "t", value: 0n }]] : [];
  return set(cpu.shares) ? [big("CPUWeight", weightOfShares(cpu.shares))] : [];
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

/** Files of linux.resources.unified that systemd has a property for; the others are written, and systemd leaves them alone. */
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
      const [most = "max", period] = value.trim().split(/\s+/);
      out.push(
        ...quota(number(file, most), period === undefined ? undefined : number(file, period), version),
      );
    } else if (file === "cpu.idle") out.push(...weight({ idle: Number(number(file, value)) }, version));
    else if (file === "cpuset.cpus") out.push(...cpusets({ cpus: value }, version));
    else if (file === "cpuset.mems") out.push(...cpusets({ mems: value }, version));
  }
  return out;
}

/** systemd makes io.bfq.weight, 1 to 1000, out of its own 1 to 10000: up to 100 one to one, the rest in steps of 11. */
function ioWeight(weight: Int64): Int64 {
  const bfq = BigInt(weight);
  return bfq <= 100n ? bfq : 100n + (bfq - 100n) * 11n;
}

/** The properties that say what the cgroup's files say, so that systemd does not set them back when it writes them anew. */
export function resourceProperties(resources: Resources, at: ResourceContext): Property[] {
  const { memory, cpu, pids, blockIO, unified } = resources;
  const out: Property[] = [];
  if (memory !== undefined) {
    if (!at.unified) {
      if (set(memory.limit)) out.push(big("MemoryLimit", memory.limit));
    } else {
      if (set(memory.limit)) out.push(big("MemoryMax", memory.limit));
      if (set(memory.reservation)) out.push(big("MemoryLow", memory.reservation));
      // Version 2 counts swap alone.
      if (set(memory.swap))
        out.push(
          big(
            "MemorySwapMax",
            BigInt(memory.swap) < 0n ? -1n : BigInt(memory.swap) - BigInt(memory.limit ?? 0),
          ),
        );
    }
  }
  if (cpu !== undefined) {
    if (at.unified) out.push(...weight(cpu, at.version), ...cpusets(cpu, at.version));
    else if (set(cpu.shares)) out.push(big("CPUShares", cpu.shares));
    out.push(...quota(cpu.quota, cpu.period, at.version));
  }
  if (set(blockIO?.weight))
    out.push(at.unified ? big("IOWeight", ioWeight(blockIO.weight)) : big("BlockIOWeight", blockIO.weight));
  // systemd knows no limit of 0; one task is there already.
  if (pids?.limit !== undefined) out.push(big("TasksMax", BigInt(pids.limit) === 0n ? 1n : pids.limit));
  if (at.unified && unified !== undefined) out.push(...unifiedProperties(unified, at.version));
  return out;
}

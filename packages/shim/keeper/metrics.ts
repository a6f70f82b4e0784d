/** cgroup statistics as containerd's messages: io.containerd.cgroups.v1.Metrics or .v2.Metrics. */

import { cgroups1, cgroups2, pack } from "@berth/api";
import type { CgroupPaths } from "@berth/runtime";
import type { Sys } from "@berth/sys";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";

const UNLIMITED = (1n << 64n) - 1n;
const NS_PER_TICK = 10_000_000n; // USER_HZ is 100 on every architecture berth runs on

/** The number in a cgroup file: "max" is 2^64 - 1, a missing file 0. */
function number(sys: Sys, path: string): bigint {
  const text = sys.readTextIfAny(path)?.trim() ?? "";
  if (text === "max") return UNLIMITED;
  return /^\d+$/.test(text) ? BigInt(text) : 0n;
}

/** A file of lines "key value". */
function table(sys: Sys, path: string): Map<string, bigint> {
  const out = new Map<string, bigint>();
  for (const line of sys.readTextIfAny(path)?.split("\n") ?? []) {
    const [key, value] = line.split(" ");
    if (key && value && /^\d+$/.test(value)) out.set(key, BigInt(value));
  }
  return out;
}

/** Fills a message from a table; `rename` maps names of fields to keys. */
function fill(
  schema: DescMessage,
  from: ReadonlyMap<string, bigint>,
  rename: (name: string) => string,
): Record<string, bigint> {
  const out: Record<string, bigint> = {};
  for (const field of schema.fields) {
    const value = from.get(rename(field.name));
    if (value !== undefined && field.fieldKind === "scalar") out[field.localName] = value;
  }
  return out;
}

const v1Renames: Readonly<Record<string, string>> = {
  pg_pg_in: "pgpgin",
  pg_pg_out: "pgpgout",
  pg_fault: "pgfault",
  pg_maj_fault: "pgmajfault",
  hierarchical_swap_limit: "hierarchical_memsw_limit",
};

function v1MemoryKey(name: string): string {
  const total = name.startsWith("total_");
  const bare = total ? name.slice(6) : name;
  return (total ? "total_" : "") + (v1Renames[bare] ?? bare);
}

/** Lines "8:0 Read 4096" of a blkio file. */
function blockEntries(sys: Sys, path: string): MessageInitShape<typeof cgroups1.BlkIOEntrySchema>[] {
  const lines = sys.readTextIfAny(path)?.split("\n") ?? [];
  return lines.flatMap((line) => {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line);
    return match
      ? [{ major: BigInt(match[1]!), minor: BigInt(match[2]!), op: match[3]!, value: BigInt(match[4]!) }]
      : [];
  });
}

function v1Metrics(
  sys: Sys,
  folders: Readonly<Record<string, string>>,
): MessageInitShape<typeof cgroups1.MetricsSchema> {
  const out: MessageInitShape<typeof cgroups1.MetricsSchema> = {};
  const { pids, cpuacct, cpu, memory, blkio } = folders;
  if (pids) {
    const limit = number(sys, `${pids}/pids.max`);
    // containerd's convention for version 1, unlike that for version 2.
    out.pids = { current: number(sys, `${pids}/pids.current`), limit: limit === UNLIMITED ? 0n : limit };
  }
  if (cpuacct) {
    const ticks = table(sys, `${cpuacct}/cpuacct.stat`);
    const perCpu =
      sys.readTextIfAny(`${cpuacct}/cpuacct.usage_percpu`)?.split(/\s+/).filter(Boolean).map(BigInt) ?? [];
    const throttled = table(sys, `${cpu}/cpu.stat`);
    out.cpu = {
      usage: {
        total: number(sys, `${cpuacct}/cpuacct.usage`),
        kernel: (ticks.get("system") ?? 0n) * NS_PER_TICK,
        user: (ticks.get("user") ?? 0n) * NS_PER_TICK,
        perCpu,
      },
      throttling: {
        periods: throttled.get("nr_periods") ?? 0n,
        throttledPeriods: throttled.get("nr_throttled") ?? 0n,
        throttledTime: throttled.get("throttled_time") ?? 0n,
      },
    };
  }
  if (memory) {
    const entry = (prefix: string) => ({
      limit: number(sys, `${memory}/memory.${prefix}limit_in_bytes`),
      usage: number(sys, `${memory}/memory.${prefix}usage_in_bytes`),
      max: number(sys, `${memory}/memory.${prefix}max_usage_in_bytes`),
      failcnt: number(sys, `${memory}/memory.${prefix}failcnt`),
    });
    out.memory = {
      ...fill(cgroups1.MemoryStatSchema, table(sys, `${memory}/memory.stat`), v1MemoryKey),
      usage: entry(""),
      swap: entry("memsw."),
      kernel: entry("kmem."),
      kernelTcp: entry("kmem.tcp."),
    };
    const oom = table(sys, `${memory}/memory.oom_control`);
    out.memoryOomControl = {
      oomKillDisable: oom.get("oom_kill_disable") ?? 0n,
      underOom: oom.get("under_oom") ?? 0n,
      oomKill: oom.get("oom_kill") ?? 0n,
    };
  }
  if (blkio) {
    out.blkio = {
      ioServiceBytesRecursive: blockEntries(sys, `${blkio}/blkio.throttle.io_service_bytes_recursive`),
      ioServicedRecursive: blockEntries(sys, `${blkio}/blkio.throttle.io_serviced_recursive`),
    };
  }
  return out;
}

/** io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0". */
function ioEntries(sys: Sys, folder: string): MessageInitShape<typeof cgroups2.IOEntrySchema>[] {
  return (sys.readTextIfAny(`${folder}/io.stat`)?.split("\n") ?? []).flatMap((line) => {
    const device = /^(\d+):(\d+) /.exec(line);
    const value = (key: string) => BigInt(new RegExp(` ${key}=(\\d+)`).exec(line)?.[1] ?? 0);
    return device
      ? [
          {
            major: BigInt(device[1]!),
            minor: BigInt(device[2]!),
            rbytes: value("rbytes"),
            wbytes: value("wbytes"),
            rios: value("rios"),
            wios: value("wios"),
          },
        ]
      : [];
  });
}

function v2Metrics(sys: Sys, folder: string): MessageInitShape<typeof cgroups2.MetricsSchema> {
  const same = (name: string) => name;
  return {
    pids: { current: number(sys, `${folder}/pids.current`), limit: number(sys, `${folder}/pids.max`) },
    cpu: fill(cgroups2.CPUStatSchema, table(sys, `${folder}/cpu.stat`), same),
    memory: {
      ...fill(cgroups2.MemoryStatSchema, table(sys, `${folder}/memory.stat`), same),
      usage: number(sys, `${folder}/memory.current`),
      usageLimit: number(sys, `${folder}/memory.max`),
      swapUsage: number(sys, `${folder}/memory.swap.current`),
      swapLimit: number(sys, `${folder}/memory.swap.max`),
      maxUsage: number(sys, `${folder}/memory.peak`),
    },
    memoryEvents: fill(cgroups2.MemoryEventsSchema, table(sys, `${folder}/memory.events`), same),
    io: { usage: ioEntries(sys, folder) },
  };
}

/** Statistics of a container's cgroup, in the version that has the controllers on this host. */
export function taskMetrics(sys: Sys, cgroup: CgroupPaths): Any {
  return Object.keys(cgroup.v1).length > 0
    ? pack(cgroups1.MetricsSchema, v1Metrics(sys, cgroup.v1))
    : pack(cgroups2.MetricsSchema, v2Metrics(sys, cgroup.unified!));
}

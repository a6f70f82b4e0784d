/** A container's resource usage, in the format of `runc events`. */
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "./paths.ts";
import { readList, readNumber, readPressure, readTable } from "./read.ts";

const UNLIMITED = (1n << 64n) - 1n;
const NS_PER_TICK = 10_000_000n; // USER_HZ is 100 on every architecture berth runs on

/** A JSON object. */
type Json = Record<string, unknown>;

/** Drops what Go's omitempty drops: zeros, empty strings and lists, undefined values. */
function sparse(values: Json): Json {
  return Object.fromEntries(
    Object.entries(values).filter(
      ([, v]) => v !== undefined && v !== 0n && v !== "" && !(Array.isArray(v) && v.length === 0),
    ),
  );
}

interface MemoryUsage {
  limit: bigint;
  usage: bigint;
  max: bigint;
  failcnt: bigint;
}

/** Usage of one kind of memory; undefined if all values are 0, otherwise `limit` and `failcnt` are always present. */
function memoryUsage({ limit, usage, max, failcnt }: MemoryUsage): Json | undefined {
  if (limit === 0n && usage === 0n && max === 0n && failcnt === 0n) return undefined;
  return { limit, ...sparse({ usage, max }), failcnt };
}

const MEMORY_V1 = [
  ["usage", ""],
  ["swap", "memsw."],
  ["kernel", "kmem."],
  ["kernelTCP", "kmem.tcp."],
] as const;

function memoryV1(sys: Sys, folder: string): Json {
  const raw = readTable(sys, `${folder}/memory.stat`);
  const out: Json = sparse({ cache: raw.get("cache") });
  for (const [field, infix] of MEMORY_V1) {
    const read = (file: string) => readNumber(sys, `${folder}/memory.${infix}${file}`);
    out[field] = memoryUsage({
      limit: read("limit_in_bytes"),
      usage: read("usage_in_bytes"),
      max: read("max_usage_in_bytes"),
      failcnt: read("failcnt"),
    });
  }
  return { ...out, raw: Object.fromEntries(raw) };
}

function memoryV2(sys: Sys, folder: string): Json {
  const raw = readTable(sys, `${folder}/memory.stat`);
  const read = (file: string) => readNumber(sys, `${folder}/memory.${file}`);
  const [usage, limit] = [read("current"), read("max")];
  const swapLimit = read("swap.max");
  return {
    ...sparse({ cache: raw.get("file") }),
    usage: memoryUsage({ limit, usage, max: read("peak"), failcnt: 0n }),
    // Memory plus swap, as in version 1.
    swap: memoryUsage({
      limit: swapLimit === UNLIMITED || limit === UNLIMITED ? UNLIMITED : swapLimit + limit,
      usage: read("swap.current") + usage,
      max: 0n,
      failcnt: 0n,
    }),
    raw: Object.fromEntries(raw),
    psi: readPressure(sys, `${folder}/memory.pressure`),
  };
}

function cpuV1(sys: Sys, cpuacct: string | undefined, cpu: string | undefined): Json {
  const ticks = readTable(sys, `${cpuacct}/cpuacct.stat`);
  const perCpu = (sys.readTextIfAny(`${cpuacct}/cpuacct.usage_all`) ?? "")
    .split("\n")
    .slice(1)
    .filter((line) => /^\d+ \d+ \d+$/.test(line))
    .map((line) => line.split(" ").map(BigInt));
  const throttled = readTable(sys, `${cpu}/cpu.stat`);
  return {
    usage: {
      ...sparse({
        total: readNumber(sys, `${cpuacct}/cpuacct.usage`),
        percpu: (sys.readTextIfAny(`${cpuacct}/cpuacct.usage_percpu`) ?? "")
          .trim()
          .split(" ")
          .filter(Boolean)
          .map(BigInt),
        percpu_kernel: perCpu.map((line) => line[2]!),
        percpu_user: perCpu.map((line) => line[1]!),
      }),
      kernel: (ticks.get("system") ?? 0n) * NS_PER_TICK,
      user: (ticks.get("user") ?? 0n) * NS_PER_TICK,
    },
    throttling: sparse({
      periods: throttled.get("nr_periods"),
      throttledPeriods: throttled.get("nr_throttled"),
      throttledTime: throttled.get("throttled_time"),
    }),
  };
}

function cpuV2(sys: Sys, folder: string): Json {
  const stat = readTable(sys, `${folder}/cpu.stat`);
  const ns = (key: string) => (stat.get(key) ?? 0n) * 1000n;
  return {
    usage: { ...sparse({ total: ns("usage_usec") }), kernel: ns("system_usec"), user: ns("user_usec") },
    throttling: sparse({
      periods: stat.get("nr_periods"),
      throttledPeriods: stat.get("nr_throttled"),
      throttledTime: ns("throttled_usec"),
    }),
    psi: readPressure(sys, `${folder}/cpu.pressure`),
  };
}

function cpuset(sys: Sys, folder: string): Json {
  const read = (file: string) => readNumber(sys, `${folder}/cpuset.${file}`);
  return {
    ...sparse({ cpus: readList(sys, `${folder}/cpuset.cpus`) }),
    cpu_exclusive: read("cpu_exclusive"),
    ...sparse({ mems: readList(sys, `${folder}/cpuset.mems`) }),
    mem_hardwall: read("mem_hardwall"),
    mem_exclusive: read("mem_exclusive"),
    memory_migrate: read("memory_migrate"),
    memory_spread_page: read("memory_spread_page"),
    memory_spread_slab: read("memory_spread_slab"),
    memory_pressure: read("memory_pressure"),
    sched_load_balance: read("sched_load_balance"),
    sched_relax_domain_level: read("sched_relax_domain_level"),
  };
}

const BLOCK_FILES = [
  ["ioServiceBytesRecursive", "io_service_bytes_recursive"],
  ["ioServicedRecursive", "io_serviced_recursive"],
] as const;

/** Parses version 1 files with lines such as "8:0 Read 4096". */
function blockV1(sys: Sys, folder: string): Json {
  const read = (file: string) =>
    (sys.readTextIfAny(`${folder}/${file}`) ?? "").split("\n").flatMap((line) => {
      const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line);
      return match === null
        ? []
        : [
            sparse({
              major: BigInt(match[1]!),
              minor: BigInt(match[2]!),
              op: match[3],
              value: BigInt(match[4]!),
            }),
          ];
    });
  const out: Json = {};
  for (const [field, file] of BLOCK_FILES) {
    // The throttling layer counts with any scheduler; BFQ's own count is preferred.
    const bfq = read(`blkio.bfq.${file}`);
    out[field] = bfq.length > 0 ? bfq : read(`blkio.throttle.${file}`);
  }
  return sparse(out);
}

const IO_KEYS: Readonly<Record<string, readonly [field: string, op: string]>> = {
  rbytes: ["ioServiceBytesRecursive", "Read"],
  wbytes: ["ioServiceBytesRecursive", "Write"],
  rios: ["ioServicedRecursive", "Read"],
  wios: ["ioServicedRecursive", "Write"],
};

/** Parses io.stat, with lines such as "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0". */
function blockV2(sys: Sys, folder: string): Json {
  const out: Record<string, Json[]> = {};
  for (const line of (sys.readTextIfAny(`${folder}/io.stat`) ?? "").split("\n")) {
    const [device, ...counters] = line.split(" ");
    const numbers = /^(\d+):(\d+)$/.exec(device ?? "");
    if (numbers === null) continue;
    for (const counter of counters) {
      const [key, value] = counter.split("=");
      const target = IO_KEYS[key ?? ""];
      if (target === undefined) continue;
      out[target[0]] = [
        ...(out[target[0]] ?? []),
        sparse({
          major: BigInt(numbers[1]!),
          minor: BigInt(numbers[2]!),
          op: target[1],
          value: BigInt(value ?? 0),
        }),
      ];
    }
  }
  return { ...out, psi: readPressure(sys, `${folder}/io.pressure`) };
}

function hugetlb(sys: Sys, folder: string, v2: boolean): Json {
  const out: Json = {};
  const pattern = v2 ? /^hugetlb\.(\w+)\.current$/ : /^hugetlb\.(\w+)\.usage_in_bytes$/;
  for (const name of sys.list(folder) ?? []) {
    const size = pattern.exec(name)?.[1];
    if (size === undefined) continue;
    const at = `${folder}/hugetlb.${size}`;
    out[size] = {
      ...sparse({
        usage: readNumber(sys, `${folder}/${name}`),
        max: v2 ? 0n : readNumber(sys, `${at}.max_usage_in_bytes`),
      }),
      failcnt: v2 ? (readTable(sys, `${at}.events`).get("max") ?? 0n) : readNumber(sys, `${at}.failcnt`),
    };
  }
  return out;
}

/** Reads a cgroup's current usage. */
export function readStats(sys: Sys, paths: CgroupPaths): Json {
  const v2 = Object.keys(paths.v1).length === 0;
  const at = (controller: string) => (v2 ? paths.unified : paths.v1[controller]);
  const pids = at("pids");
  const limit = readNumber(sys, `${pids}/pids.max`);
  return {
    cpu: v2 ? cpuV2(sys, paths.unified!) : cpuV1(sys, at("cpuacct"), at("cpu")),
    cpuset: cpuset(sys, at("cpuset") ?? ""),
    memory: v2 ? memoryV2(sys, paths.unified!) : memoryV1(sys, at("memory") ?? ""),
    pids: sparse({
      current: readNumber(sys, `${pids}/pids.current`),
      limit: limit === UNLIMITED ? 0n : limit,
    }),
    blkio: v2 ? blockV2(sys, paths.unified!) : blockV1(sys, at("blkio") ?? ""),
    hugetlb: hugetlb(sys, at("hugetlb") ?? "", v2),
    intel_rdt: {},
    network_interfaces: null,
  };
}

/** Reads the number of OOM kills in a cgroup, and whether it is under OOM (version 1 only). */
export function readOom(sys: Sys, paths: CgroupPaths): { kills: bigint; under: boolean } {
  const v1 = paths.v1.memory;
  const table = readTable(
    sys,
    v1 === undefined ? `${paths.unified}/memory.events` : `${v1}/memory.oom_control`,
  );
  return { kills: table.get("oom_kill") ?? 0n, under: table.get("under_oom") === 1n };
}

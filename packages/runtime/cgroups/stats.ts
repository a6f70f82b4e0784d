/** A container's use of resources, in the form that `runc events` prints. */
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "./paths.ts";
import { readList, readNumber, readPressure, readTable } from "./read.ts";

const UNLIMITED = (1n << 64n) - 1n;
const NS_PER_TICK = 10_000_000n; // USER_HZ is 100 on every architecture berth runs on

/** An object of JSON: zeros and empty parts may be left out of it. */
type Facts = Record<string, unknown>;

/** Leaves out what Go's omitempty does: zeros, empty lists, what is undefined. */
function sparse(facts: Facts): Facts {
  return Object.fromEntries(
    Object.entries(facts).filter(
      ([, v]) => v !== undefined && v !== 0n && v !== "" && !(Array.isArray(v) && v.length === 0),
    ),
  );
}

interface Amounts {
  limit: bigint;
  usage: bigint;
  max: bigint;
  failcnt: bigint;
}

/** One kind of memory; `limit` and `failcnt` are always told, unless all of it is 0. */
function amounts(a: Amounts): Facts | undefined {
  if (a.limit === 0n && a.usage === 0n && a.max === 0n && a.failcnt === 0n) return undefined;
  return { limit: a.limit, ...sparse({ usage: a.usage, max: a.max }), failcnt: a.failcnt };
}

const MEMORY_V1 = [
  ["usage", ""],
  ["swap", "memsw."],
  ["kernel", "kmem."],
  ["kernelTCP", "kmem.tcp."],
] as const;

function memoryV1(sys: Sys, folder: string): Facts {
  const raw = readTable(sys, `${folder}/memory.stat`);
  const out: Facts = sparse({ cache: raw.get("cache") });
  for (const [field, infix] of MEMORY_V1) {
    const read = (file: string) => readNumber(sys, `${folder}/memory.${infix}${file}`);
    out[field] = amounts({
      limit: read("limit_in_bytes"),
      usage: read("usage_in_bytes"),
      max: read("max_usage_in_bytes"),
      failcnt: read("failcnt"),
    });
  }
  return { ...out, raw: Object.fromEntries(raw) };
}

function memoryV2(sys: Sys, folder: string): Facts {
  const raw = readTable(sys, `${folder}/memory.stat`);
  const read = (file: string) => readNumber(sys, `${folder}/memory.${file}`);
  const [usage, limit] = [read("current"), read("max")];
  const swapLimit = read("swap.max");
  return {
    ...sparse({ cache: raw.get("file") }),
    usage: amounts({ limit, usage, max: read("peak"), failcnt: 0n }),
    // Memory and swap together, as version 1 counts them.
    swap: amounts({
      limit: swapLimit === UNLIMITED || limit === UNLIMITED ? UNLIMITED : swapLimit + limit,
      usage: read("swap.current") + usage,
      max: 0n,
      failcnt: 0n,
    }),
    raw: Object.fromEntries(raw),
    psi: readPressure(sys, `${folder}/memory.pressure`),
  };
}

function cpuV1(sys: Sys, cpuacct: string | undefined, cpu: string | undefined): Facts {
  const ticks = readTable(sys, `${cpuacct}/cpuacct.stat`);
  const each = (sys.readTextIfAny(`${cpuacct}/cpuacct.usage_all`) ?? "")
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
        percpu_kernel: each.map((line) => line[2]!),
        percpu_user: each.map((line) => line[1]!),
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

function cpuV2(sys: Sys, folder: string): Facts {
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

function cpuset(sys: Sys, folder: string): Facts {
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

/** Lines "8:0 Read 4096" of a version 1 file. */
function blockV1(sys: Sys, folder: string): Facts {
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
  const out: Facts = {};
  for (const [field, file] of BLOCK_FILES) {
    // The scheduler's own count, where there is one; the throttling layer counts for all.
    const own = read(`blkio.bfq.${file}`);
    out[field] = own.length > 0 ? own : read(`blkio.throttle.${file}`);
  }
  return sparse(out);
}

const IO_KEYS: Readonly<Record<string, readonly [field: string, op: string]>> = {
  rbytes: ["ioServiceBytesRecursive", "Read"],
  wbytes: ["ioServiceBytesRecursive", "Write"],
  rios: ["ioServicedRecursive", "Read"],
  wios: ["ioServicedRecursive", "Write"],
};

/** Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" of io.stat. */
function blockV2(sys: Sys, folder: string): Facts {
  const out: Record<string, Facts[]> = {};
  for (const line of (sys.readTextIfAny(`${folder}/io.stat`) ?? "").split("\n")) {
    const [device, ...facts] = line.split(" ");
    const numbers = /^(\d+):(\d+)$/.exec(device ?? "");
    if (numbers === null) continue;
    for (const fact of facts) {
      const [key, value] = fact.split("=");
      const place = IO_KEYS[key ?? ""];
      if (place === undefined) continue;
      out[place[0]] = [
        ...(out[place[0]] ?? []),
        sparse({
          major: BigInt(numbers[1]!),
          minor: BigInt(numbers[2]!),
          op: place[1],
          value: BigInt(value ?? 0),
        }),
      ];
    }
  }
  return { ...out, psi: readPressure(sys, `${folder}/io.pressure`) };
}

function hugetlb(sys: Sys, folder: string, v2: boolean): Facts {
  const out: Facts = {};
  const form = v2 ? /^hugetlb\.(\w+)\.current$/ : /^hugetlb\.(\w+)\.usage_in_bytes$/;
  for (const name of sys.list(folder) ?? []) {
    const size = form.exec(name)?.[1];
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

/** Reads what a cgroup uses at this moment. */
export function readStats(sys: Sys, paths: CgroupPaths): Facts {
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

/** How often the kernel has killed for want of memory in the cgroup, and whether it is about to. */
export function readOom(sys: Sys, paths: CgroupPaths): { kills: bigint; under: boolean } {
  const v1 = paths.v1.memory;
  const table = readTable(
    sys,
    v1 === undefined ? `${paths.unified}/memory.events` : `${v1}/memory.oom_control`,
  );
  return { kills: table.get("oom_kill") ?? 0n, under: table.get("under_oom") === 1n };
}

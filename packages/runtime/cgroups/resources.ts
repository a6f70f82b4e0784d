/** Converts linux.resources to writes to cgroup files, for both versions. Pure. */
import { BerthError } from "@berth/base";
import type { BlockIo, CpuLimits, Int64, MemoryLimits, Resources } from "@berth/oci";

/** One write to a file of a controller. */
export interface CgroupWrite {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  /** The write to make instead if the kernel has no such file. */
  readonly otherwise?: { readonly file: string; readonly value: string };
}

/** The specification treats 0 as unset for most limits. */
const isSet = (value: Int64 | undefined): value is Int64 => value !== undefined && BigInt(value) !== 0n;

function memoryV1(m: MemoryLimits, out: CgroupWrite[]): void {
  const put = (file: string, value: Int64 | undefined) => {
    if (isSet(value)) out.push({ controller: "memory", file, value: String(value) });
  };
  // Lifting the limit requires lifting memsw first; lowering it must come before memsw is lowered.
  if (m.limit !== undefined && BigInt(m.limit) === -1n && m.swap === undefined)
    put("memory.memsw.limit_in_bytes", -1);
  put("memory.limit_in_bytes", m.limit);
  put("memory.memsw.limit_in_bytes", m.swap);
  put("memory.soft_limit_in_bytes", m.reservation);
  put("memory.kmem.tcp.limit_in_bytes", m.kernelTCP);
  if (m.swappiness !== undefined)
    out.push({ controller: "memory", file: "memory.swappiness", value: String(m.swappiness) });
  if (m.disableOOMKiller) out.push({ controller: "memory", file: "memory.oom_control", value: "1" });
}

function cpuV1(c: CpuLimits, out: CgroupWrite[]): void {
  const put = (controller: string, file: string, value: Int64 | string | undefined) => {
    if (value !== undefined && value !== "" && value !== 0 && value !== 0n)
      out.push({ controller, file, value: String(value) });
  };
  put("cpu", "cpu.shares", c.shares);
  put("cpu", "cpu.cfs_period_us", c.period);
  put("cpu", "cpu.cfs_quota_us", c.quota);
  if (c.burst !== undefined)
    out.push({ controller: "cpu", file: "cpu.cfs_burst_us", value: String(c.burst) });
  put("cpu", "cpu.rt_period_us", c.realtimePeriod);
  put("cpu", "cpu.rt_runtime_us", c.realtimeRuntime);
  if (c.idle !== undefined) out.push({ controller: "cpu", file: "cpu.idle", value: String(c.idle) });
  put("cpuset", "cpuset.cpus", c.cpus);
  put("cpuset", "cpuset.mems", c.mems);
}

const THROTTLES = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

function blkioV1(b: BlockIo, out: CgroupWrite[]): void {
  if (isSet(b.weight)) out.push({ controller: "blkio", file: "blkio.bfq.weight", value: String(b.weight) });
  if (isSet(b.leafWeight))
    out.push({ controller: "blkio", file: "blkio.leaf_weight", value: String(b.leafWeight) });
  for (const d of b.weightDevice ?? []) {
    const device = `${d.major}:${d.minor}`;
    if (isSet(d.weight))
      out.push({ controller: "blkio", file: "blkio.bfq.weight_device", value: `${device} ${d.weight}` });
    if (isSet(d.leafWeight))
      out.push({ controller: "blkio", file: "blkio.leaf_weight_device", value: `${device} ${d.leafWeight}` });
  }
  for (const [field, file] of THROTTLES) {
    for (const d of b[field] ?? [])
      out.push({ controller: "blkio", file, value: `${d.major}:${d.minor} ${d.rate}` });
  }
}

/** Value of pids.max. Negative means unlimited; 0 becomes 1 as in runc, since systemd accepts no 0 and init is a task. */
function pidsLimit(limit: Int64): string {
  if (BigInt(limit) < 0n) return "max";
  return BigInt(limit) === 0n ? "1" : String(limit);
}

/** Writes rdma.max, the same on both versions: "mlx5_0 hca_handle=2 hca_object=100". */
function rdma(resources: Resources, put: (file: string, value: string) => void): void {
  for (const [device, { hcaHandles, hcaObjects }] of Object.entries(resources.rdma ?? {})) {
    if (/[\s=]/.test(device) || device === "")
      throw new BerthError(
        "invalid_argument",
        `linux.resources.rdma: found the device ${JSON.stringify(device)}, expected a name such as "mlx5_0"`,
        { stage: "cgroup" },
      );
    const limits = [
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ];
    if (limits.length > 0) put("rdma.max", [device, ...limits].join(" "));
  }
}

/** The writes for the version 1 controllers. */
export function v1Writes(resources: Resources): CgroupWrite[] {
  const out: CgroupWrite[] = [];
  if (resources.memory) memoryV1(resources.memory, out);
  if (resources.cpu) cpuV1(resources.cpu, out);
  if (resources.pids?.limit !== undefined)
    out.push({ controller: "pids", file: "pids.max", value: pidsLimit(resources.pids.limit) });
  if (resources.blockIO) blkioV1(resources.blockIO, out);
  for (const h of resources.hugepageLimits ?? []) {
    out.push({ controller: "hugetlb", file: `hugetlb.${h.pageSize}.limit_in_bytes`, value: String(h.limit) });
  }
  if (resources.network?.classID !== undefined) {
    out.push({ controller: "net_cls", file: "net_cls.classid", value: String(resources.network.classID) });
  }
  rdma(resources, (file, value) => out.push({ controller: "rdma", file, value }));
  for (const p of resources.network?.priorities ?? []) {
    out.push({ controller: "net_prio", file: "net_prio.ifpriomap", value: `${p.name} ${p.priority}` });
  }
  return out;
}

/** Converts cpu.shares to cpu.weight as runc 1.3.2 and crun 1.23 do: 1024 -> 100. */
export function weightOfShares(shares: Int64): number {
  const s = Number(shares);
  if (s === 0) return 0;
  if (s <= 2) return 1;
  if (s >= 262144) return 10000;
  // A quadratic in the logarithm through the fixed points 2 -> 1, 1024 -> 100, 262144 -> 10000.
  const l = Math.log2(s);
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34));
}

/** Converts a blkio weight (10 to 1000) to io.weight (1 to 10000), linearly as in runc and crun. */
export function ioWeight(weight: Int64): number {
  return 1 + Math.floor(((Number(weight) - 10) * 9999) / 990);
}

const orMax = (value: Int64) => (BigInt(value) < 0n ? "max" : String(value));

function memoryV2(m: MemoryLimits, put: (file: string, value: string) => void): void {
  if (isSet(m.swap)) {
    if (BigInt(m.swap) > 0n && !isSet(m.limit)) {
      throw new BerthError(
        "invalid_argument",
        `linux.resources.memory.swap: found ${m.swap} without a limit, expected both (swap counts memory and swap together)`,
        { stage: "cgroup" },
      );
    }
    // Version 2 counts swap alone.
    const swapOnly = BigInt(m.swap) < 0n ? -1n : BigInt(m.swap) - BigInt(m.limit ?? 0);
    if (swapOnly < -1n) {
      throw new BerthError(
        "invalid_argument",
        `linux.resources.memory.swap: found ${m.swap}, expected at least the limit ${m.limit}`,
        { stage: "cgroup" },
      );
    }
    put("memory.swap.max", orMax(swapOnly));
  }
  if (isSet(m.limit)) put("memory.max", orMax(m.limit));
  if (isSet(m.reservation)) put("memory.low", orMax(m.reservation));
}

/** The writes for the unified hierarchy. */
export function v2Writes(resources: Resources): CgroupWrite[] {
  const out: CgroupWrite[] = [];
  const put = (file: string, value: string) => out.push({ controller: file.split(".")[0]!, file, value });
  if (resources.memory) memoryV2(resources.memory, put);
  const cpu = resources.cpu;
  if (cpu) {
    if (isSet(cpu.shares)) put("cpu.weight", String(weightOfShares(cpu.shares)));
    if (isSet(cpu.quota) || isSet(cpu.period)) {
      put(
        "cpu.max",
        `${isSet(cpu.quota) ? orMax(cpu.quota) : "max"} ${isSet(cpu.period) ? cpu.period : 100000}`,
      );
    }
    if (cpu.burst !== undefined) put("cpu.max.burst", String(cpu.burst));
    if (cpu.idle !== undefined) put("cpu.idle", String(cpu.idle));
    if (cpu.cpus) put("cpuset.cpus", cpu.cpus);
    if (cpu.mems) put("cpuset.mems", cpu.mems);
  }
  if (resources.pids?.limit !== undefined) put("pids.max", pidsLimit(resources.pids.limit));
  const io = resources.blockIO;
  if (io) {
    // The BFQ scheduler uses the same range; io.weight, of the iocost controller, goes from 1 to 10000.
    const putWeight = (weight: Int64, device: string) =>
      out.push({
        controller: "io",
        file: "io.bfq.weight",
        value: `${device}${weight}`,
        otherwise: { file: "io.weight", value: `${device}${ioWeight(weight)}` },
      });
    if (isSet(io.weight)) putWeight(io.weight, "");
    for (const d of io.weightDevice ?? []) if (isSet(d.weight)) putWeight(d.weight, `${d.major}:${d.minor} `);
    for (const [field, , key] of THROTTLES)
      for (const d of io[field] ?? []) put("io.max", `${d.major}:${d.minor} ${key}=${d.rate}`);
  }
  for (const h of resources.hugepageLimits ?? []) put(`hugetlb.${h.pageSize}.max`, String(h.limit));
  rdma(resources, put);
  for (const [file, value] of Object.entries(resources.unified ?? {})) {
    if (file.includes("/")) {
      throw new BerthError(
        "invalid_argument",
        `linux.resources.unified: found ${JSON.stringify(file)}, expected a file name without "/"`,
        { stage: "cgroup" },
      );
    }
    for (const line of value.split("\n").filter(Boolean)) put(file, line);
  }
  return out;
}

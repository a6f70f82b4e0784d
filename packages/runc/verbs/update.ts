import { log } from "@berth/base";
import { parseJson, type Resources, validateResources } from "@berth/oci";
import { checkRdt, updateRdt, updateResources } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import type { Flags } from "../flags.ts";
import { absolute, readAll } from "../launching.ts";
import { parseBytes, parseWhole } from "../sizes.ts";

const flags = {
  resources: {
    type: "string",
    short: "r",
    help: "file with linux.resources as JSON, or - for the standard input; the other flags are then ignored",
  },
  "blkio-weight": { type: "number", help: "weight of block IO, 10 to 1000" },
  "cpu-period": { type: "string", help: "CFS period in microseconds" },
  "cpu-quota": { type: "string", help: "CFS quota in microseconds per period; -1 for none" },
  "cpu-burst": { type: "string", help: "CFS burst in microseconds" },
  "cpu-share": { type: "string", help: "CPU shares, relative to other containers" },
  "cpu-rt-period": { type: "string", help: "real-time period in microseconds" },
  "cpu-rt-runtime": { type: "string", help: "real-time runtime in microseconds per period" },
  "cpuset-cpus": { type: "string", help: "CPUs to use: 0-3,7" },
  "cpuset-mems": { type: "string", help: "memory nodes to use" },
  "kernel-memory": { type: "string", help: "(obsolete; ignored)", hidden: true },
  "kernel-memory-tcp": { type: "string", help: "(obsolete; ignored)", hidden: true },
  memory: { type: "string", help: "memory limit in bytes (50M, 1g); -1 for none" },
  "cpu-idle": { type: "string", help: "1: SCHED_IDLE, 0: as usual" },
  "memory-reservation": { type: "string", help: "memory reservation (soft limit) in bytes" },
  "memory-swap": { type: "string", help: "limit of memory and swap together; -1 for none" },
  "pids-limit": { type: "number", help: "number of processes; negative for no limit" },
  "l3-cache-schema": { type: "string", help: "Intel RDT/CAT L3 cache schema" },
  "mem-bw-schema": { type: "string", help: "Intel RDT/MBA memory bandwidth schema" },
} as const;

/** Limits in bytes, by flag. */
const BYTES = [
  ["memory", "limit"],
  ["memory-swap", "swap"],
  ["memory-reservation", "reservation"],
] as const;
/** Limits that are whole numbers, by flag; true: may be negative. */
const NUMBERS = [
  ["cpu-burst", "burst", false],
  ["cpu-period", "period", false],
  ["cpu-rt-period", "realtimePeriod", false],
  ["cpu-share", "shares", false],
  ["cpu-quota", "quota", true],
  ["cpu-rt-runtime", "realtimeRuntime", true],
  ["cpu-idle", "idle", true],
] as const;

/** Converts the flags to linux.resources; an empty value counts as absent. */
export function resourcesOf(given: Flags<typeof flags>): Resources {
  const resources: Resources = {};
  for (const [flag, field] of BYTES) {
    const text = given[flag];
    if (text) resources.memory = { ...resources.memory, [field]: parseBytes(flag, text) };
  }
  for (const [flag, field, signed] of NUMBERS) {
    const text = given[flag];
    if (text) resources.cpu = { ...resources.cpu, [field]: Number(parseWhole(flag, text, signed)) };
  }
  for (const [flag, field] of [
    ["cpuset-cpus", "cpus"],
    ["cpuset-mems", "mems"],
  ] as const) {
    const text = given[flag];
    if (text) resources.cpu = { ...resources.cpu, [field]: text };
  }
  if (given["blkio-weight"]) resources.blockIO = { weight: given["blkio-weight"] };
  if (given["pids-limit"] !== undefined) resources.pids = { limit: given["pids-limit"] };
  return validateResources(resources, { what: "flags" });
}

export const command = defineCommand({
  usage: "update [options] ID",
  help: "change a container's limits",
  flags,
  args: [1, 1],
  async run({ runtime }, given, [id]) {
    const { sys } = runtime;
    const source = given.resources;
    if (source) {
      const text = source === "-" ? await readAll(sys, 0) : sys.readText(absolute(sys, source));
      const resources = validateResources(parseJson(text, source === "-" ? "standard input" : source));
      await updateResources(runtime, id!, resources);
      return 0;
    }
    if (given["kernel-memory"] || given["kernel-memory-tcp"])
      log.warn("Kernel memory settings are ignored and will be removed");
    const l3CacheSchema = given["l3-cache-schema"];
    const memBwSchema = given["mem-bw-schema"];
    const rdt = { ...(l3CacheSchema ? { l3CacheSchema } : {}), ...(memBwSchema ? { memBwSchema } : {}) };
    const wantsRdt = Object.keys(rdt).length > 0;
    if (wantsRdt) checkRdt(sys, rdt);
    await updateResources(runtime, id!, resourcesOf(given));
    if (wantsRdt) await updateRdt(runtime, id!, rdt);
    return 0;
  },
});

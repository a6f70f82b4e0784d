/** Changing the limits of a cgroup that is in use: the order of writes is found out, not known. */
import { BerthError } from "@berth/base";
import type { MemoryLimits, Resources } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { v1DeviceWrite } from "./devices.ts";
import type { CgroupPaths } from "./paths.ts";
import { type CgroupWrite, v1Writes, v2Writes } from "./resources.ts";

const positive = (value: MemoryLimits["limit"]): bigint =>
  value !== undefined && BigInt(value) > 0n ? BigInt(value) : 0n;

/** Refuses a limit that what is in use exceeds already, where the caller asked for that check (version 2). */
function checkUsage(sys: Sys, folder: string, memory: MemoryLimits): void {
  const text = memory.checkBeforeUpdate ? sys.readTextIfAny(`${folder}/memory.current`) : undefined;
  if (text === undefined) return;
  const usage = BigInt(text.trim());
  for (const [what, value] of [
    ["memory+swap", positive(memory.swap)],
    ["memory", positive(memory.limit)],
  ] as const) {
    if (value === 0n || value > usage) continue;
    throw new BerthError("failed_precondition", `rejecting ${what} limit ${value} <= usage ${usage}`, {
      stage: "update",
      hint: "choose a higher limit, or leave checkBeforeUpdate out to let the kernel reclaim or kill",
    });
  }
}

/** Version 2 keeps quota and period in one file, and swap apart from memory: what is not asked for stays as it is. */
function completeV2(sys: Sys, folder: string, resources: Resources): Resources {
  const out = { ...resources };
  const { cpu, memory } = resources;
  const asked = (value: unknown) => value !== undefined && BigInt(value as number) !== 0n;
  if (cpu !== undefined && asked(cpu.quota) !== asked(cpu.period)) {
    const [quota, period] = (sys.readTextIfAny(`${folder}/cpu.max`) ?? "max 100000").trim().split(" ");
    out.cpu = asked(cpu.quota)
      ? { ...cpu, period: Number(period) }
      : { ...cpu, quota: quota === "max" ? -1 : Number(quota) };
  }
  if (memory !== undefined && positive(memory.swap) > 0n && memory.limit === undefined) {
    const limit = sys.readTextIfAny(`${folder}/memory.max`)?.trim() ?? "max";
    if (limit === "max") {
      throw new BerthError("invalid_argument", "unable to set swap limit without memory limit", {
        stage: "update",
        hint: "swap counts memory and swap together: give the memory limit with it",
      });
    }
    out.memory = { ...memory, limit: BigInt(limit) };
  }
  // No limit on memory means none on swap either, unless one is asked for.
  if (memory?.limit !== undefined && BigInt(memory.limit) === -1n && memory.swap === undefined)
    out.memory = { ...memory, swap: -1 };
  return out;
}

function writesFor(sys: Sys, v2: boolean, paths: CgroupPaths, resources: Resources): CgroupWrite[] {
  if (!v2) {
    const devices = (resources.devices ?? []).map((rule) => ({
      controller: "devices",
      ...v1DeviceWrite(rule),
    }));
    return [...v1Writes(resources), ...devices];
  }
  const folder = paths.unified!;
  if (resources.memory !== undefined) checkUsage(sys, folder, resources.memory);
  return v2Writes(completeV2(sys, folder, resources));
}

/** What the kernel says about a limit below what is in use, in runc's words. */
function explain(sys: Sys, path: string, write: CgroupWrite, error: BerthError): BerthError {
  if (write.file !== "memory.limit_in_bytes" || error.errno !== "EBUSY") return error;
  const folder = path.slice(0, path.lastIndexOf("/"));
  const read = (file: string) => sys.readTextIfAny(`${folder}/${file}`)?.trim() ?? "unknown";
  return new BerthError(
    "failed_precondition",
    `unable to set memory limit to ${write.value} (current usage: ${read("memory.usage_in_bytes")}, peak usage: ${read("memory.max_usage_in_bytes")})`,
    { stage: "update", errno: "EBUSY", path, cause: error },
  );
}

/**
 * Changes limits of a cgroup; those that `resources` does not name stay. The kernel refuses pairs that do not fit
 * together (quota and period, memory and swap) by EINVAL even where both are about to change: what is refused so is
 * tried again after the rest, as long as that helps.
 */
export function changeLimits(sys: Sys, v2: boolean, paths: CgroupPaths, resources: Resources): void {
  let left = writesFor(sys, v2, paths, resources);
  for (let refused: BerthError | undefined; left.length > 0; ) {
    const again: CgroupWrite[] = [];
    for (const write of left) {
      const folder = v2 ? paths.unified : paths.v1[write.controller];
      if (folder === undefined) {
        throw new BerthError(
          "failed_precondition",
          `${write.file} needs the cgroup controller "${write.controller}", which this host or container does not have`,
          { stage: "update" },
        );
      }
      const { file, value } =
        write.otherwise !== undefined && sys.stat(`${folder}/${write.file}`) === undefined
          ? write.otherwise
          : write;
      const path = `${folder}/${file}`;
      try {
        sys.writeExisting(path, value);
      } catch (caught) {
        const error = BerthError.from(caught);
        // Hosts without swap accounting lack the file; no limit is what they have.
        if (
          error.errno === "ENOENT" &&
          /memsw|swap\.max/.test(write.file) &&
          ["-1", "max", "0"].includes(write.value)
        )
          continue;
        if (error.errno !== "EINVAL") throw explain(sys, path, write, error);
        refused = error;
        again.push(write);
      }
    }
    if (again.length === left.length) throw refused!;
    left = again;
  }
}

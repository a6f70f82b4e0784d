/** Changes the limits of a cgroup in use. The order of writes that the kernel accepts is found by trying. */
import { BerthError } from "@berth/base";
import type { MemoryLimits, Resources } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { v1DeviceWrite } from "./devices.ts";
import type { CgroupPaths } from "./paths.ts";
import { type CgroupWrite, v1Writes, v2Writes } from "./resources.ts";

const positive = (value: MemoryLimits["limit"]): bigint =>
  value !== undefined && BigInt(value) > 0n ? BigInt(value) : 0n;

/** Rejects a limit below current usage if the request sets checkBeforeUpdate (version 2 only). */
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

/**
 * Completes a partial update. Version 2 keeps quota and period in one file, and counts swap apart from memory, so values
 * missing from the request are read from the cgroup.
 */
function completeV2(sys: Sys, folder: string, resources: Resources): Resources {
  const out = { ...resources };
  const { cpu, memory } = resources;
  const isGiven = (value: unknown) => value !== undefined && BigInt(value as number) !== 0n;
  if (cpu !== undefined && isGiven(cpu.quota) !== isGiven(cpu.period)) {
    const [quota, period] = (sys.readTextIfAny(`${folder}/cpu.max`) ?? "max 100000").trim().split(" ");
    out.cpu = isGiven(cpu.quota)
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
  // Lifting the memory limit lifts the swap limit too, unless the request sets one.
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

/** Replaces the kernel's EBUSY for a memory limit below current usage with runc's message. */
function explainBusy(sys: Sys, path: string, write: CgroupWrite, error: BerthError): BerthError {
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
 * Changes the limits that `resources` sets and leaves the others alone. The kernel fails with EINVAL if a pair (quota and
 * period, memory and swap) is inconsistent after one of two writes, so a refused write is retried after the others, as
 * long as each round makes progress.
 */
export function changeLimits(sys: Sys, v2: boolean, paths: CgroupPaths, resources: Resources): void {
  let pending = writesFor(sys, v2, paths, resources);
  for (let refusal: BerthError | undefined; pending.length > 0; ) {
    const refused: CgroupWrite[] = [];
    for (const write of pending) {
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
        // A host without swap accounting lacks the file, and has no swap limit anyway.
        if (
          error.errno === "ENOENT" &&
          /memsw|swap\.max/.test(write.file) &&
          ["-1", "max", "0"].includes(write.value)
        )
          continue;
        if (error.errno !== "EINVAL") throw explainBusy(sys, path, write, error);
        refusal = error;
        refused.push(write);
      }
    }
    if (refused.length === pending.length) throw refusal!;
    pending = refused;
  }
}

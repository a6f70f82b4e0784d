/** Finds the cgroup whose limit caused an OOM kill: the container's own, or a parent (a pod's). */
import type { CgroupPaths } from "@berth/runtime";
import type { Sys } from "@berth/sys";

function numberIn(sys: Sys, path: string): bigint | undefined {
  const text = sys.readTextIfAny(path)?.trim();
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined;
}

/** The kernel charges ahead per CPU: a limit may be hit with this much left. */
const CHARGE_AHEAD = 64n * 4096n;

/** Version 1 counts kills at the victim, not at the limit: look for a limit that was used up. */
function hitInV1(sys: Sys, folder: string): boolean {
  const limit = numberIn(sys, `${folder}/memory.limit_in_bytes`);
  const most = numberIn(sys, `${folder}/memory.max_usage_in_bytes`);
  return limit !== undefined && most !== undefined && most + CHARGE_AHEAD >= limit;
}

/** Version 2 counts "oom" at the limit. */
function hitInV2(sys: Sys, folder: string): boolean {
  return /^oom [1-9]/m.test(sys.readTextIfAny(`${folder}/memory.events.local`) ?? "");
}

/** Path of the nearest cgroup whose limit was hit, from the container's upwards; undefined: the host is out of memory. */
export function oomCgroup(sys: Sys, cgroup: CgroupPaths): string | undefined {
  const folder = cgroup.v1.memory ?? cgroup.unified;
  if (folder === undefined || !folder.endsWith(cgroup.path)) return undefined;
  const mount = folder.slice(0, folder.length - cgroup.path.length);
  const hit = cgroup.v1.memory === undefined ? hitInV2 : hitInV1;
  for (let path = cgroup.path; path.length > 1; path = path.slice(0, path.lastIndexOf("/")))
    if (hit(sys, mount + path)) return path;
  return undefined;
}

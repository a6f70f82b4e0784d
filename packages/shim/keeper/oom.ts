/** Whose limit it was when the out-of-memory killer came: the container's own, or one above it (a pod's). */
import type { CgroupPaths } from "@berth/runtime";
import type { Sys } from "@berth/sys";

function numberIn(sys: Sys, path: string): bigint | undefined {
  const text = sys.readTextIfAny(path)?.trim();
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined;
}

/** What the kernel charges ahead for a processor: a limit can be met with this much left. */
const CHARGE_AHEAD = 64n * 4096n;

/** Version 1 counts kills where the victim is, not where the limit is: the limit that was met has been used up. */
function metInV1(sys: Sys, folder: string): boolean {
  const limit = numberIn(sys, `${folder}/memory.limit_in_bytes`);
  const most = numberIn(sys, `${folder}/memory.max_usage_in_bytes`);
  return limit !== undefined && most !== undefined && most + CHARGE_AHEAD >= limit;
}

/** Version 2 counts "oom" where the limit is. */
function metInV2(sys: Sys, folder: string): boolean {
  return /^oom [1-9]/m.test(sys.readTextIfAny(`${folder}/memory.events.local`) ?? "");
}

/** The path of the nearest cgroup whose limit was met, from the container's own upwards; undefined: the host's memory. */
export function oomCgroup(sys: Sys, cgroup: CgroupPaths): string | undefined {
  const folder = cgroup.v1.memory ?? cgroup.unified;
  if (folder === undefined || !folder.endsWith(cgroup.path)) return undefined;
  const mount = folder.slice(0, folder.length - cgroup.path.length);
  const met = cgroup.v1.memory === undefined ? metInV2 : metInV1;
  for (let path = cgroup.path; path.length > 1; path = path.slice(0, path.lastIndexOf("/")))
    if (met(sys, mount + path)) return path;
  return undefined;
}

/** Lists and signals the processes of a cgroup, and removes cgroups. */
import { BerthError, isCode, SIGKILL } from "@berth/base";
import type { Sys } from "@berth/sys";
import { canFreeze, isFrozen, setFrozen } from "./freezer.ts";
import { type CgroupPaths, cgroupFolders } from "./paths.ts";

const REMOVE_TIMEOUT_MS = 3000;

function collectPids(sys: Sys, folder: string, out: Set<number>): void {
  const text = sys.readTextIfAny(`${folder}/cgroup.procs`);
  if (text === undefined) return;
  for (const line of text.split("\n")) if (line !== "") out.add(Number(line));
  for (const name of sys.list(folder) ?? []) {
    if (!name.includes(".") && sys.stat(`${folder}/${name}`)?.kind === "folder")
      collectPids(sys, `${folder}/${name}`, out);
  }
}

/** Any existing directory of the cgroup: a process is a member in every hierarchy. */
function anyFolder(sys: Sys, paths: CgroupPaths): string | undefined {
  const order = [paths.v1.freezer, paths.unified, paths.v1.pids, paths.v1.memory, ...cgroupFolders(paths)];
  return order.find((f) => f !== undefined && sys.stat(f) !== undefined);
}

/** Host pids of all processes in a cgroup and its descendants, in ascending order. */
export function cgroupPids(sys: Sys, paths: CgroupPaths): number[] {
  const out = new Set<number>();
  const folder = anyFolder(sys, paths);
  if (folder !== undefined) collectPids(sys, folder, out);
  return [...out].sort((a, b) => a - b);
}

/** Sends a signal to every process of a cgroup, which is frozen meanwhile so that none escapes by forking. */
export async function signalAll(sys: Sys, paths: CgroupPaths, signal: number): Promise<void> {
  if (
    signal === SIGKILL &&
    paths.unified !== undefined &&
    sys.stat(`${paths.unified}/cgroup.kill`) !== undefined
  ) {
    try {
      sys.writeExisting(`${paths.unified}/cgroup.kill`, "1");
    } catch (error) {
      // systemd removes its cgroups when they are empty, and may have done so already.
      if (!(error instanceof BerthError) || (error.errno !== "ENODEV" && error.errno !== "ENOENT"))
        throw error;
      return;
    }
    // In a frozen version 1 cgroup, processes die only once it is thawed.
    if (isFrozen(sys, paths)) await setFrozen(sys, paths, false);
    return;
  }
  if (!canFreeze(paths)) {
    for (const pid of cgroupPids(sys, paths)) sys.kill(pid, signal);
    return;
  }
  const wasFrozen = isFrozen(sys, paths);
  if (!wasFrozen) await setFrozen(sys, paths, true).catch(() => undefined);
  try {
    for (const pid of cgroupPids(sys, paths)) sys.kill(pid, signal);
  } finally {
    if (!wasFrozen || signal === SIGKILL) await setFrozen(sys, paths, false);
  }
}

function removeFolder(sys: Sys, folder: string): boolean {
  try {
    sys.rmdir(folder);
    return true;
  } catch (error) {
    if (isCode(error, "not_found")) return true;
    if (!(error instanceof BerthError) || (error.errno !== "EBUSY" && error.errno !== "ENOTEMPTY"))
      throw error;
  }
  for (const name of sys.list(folder) ?? []) {
    const child = `${folder}/${name}`;
    if (sys.lstat(child)?.kind === "folder") removeFolder(sys, child);
  }
  return false;
}

/**
 * Removes a cgroup from all hierarchies and kills its remaining processes. Waits at most three seconds for them to exit;
 * then throws "deadline_exceeded", naming a process that is still there.
 */
export async function removeCgroup(sys: Sys, paths: CgroupPaths): Promise<void> {
  let remaining = cgroupFolders(paths);
  let killed = false;
  for (let waited = 0, step = 0.5; ; waited += step, step = Math.min(2 * step, 50)) {
    remaining = remaining.filter((folder) => !removeFolder(sys, folder));
    if (remaining.length === 0) return;
    // Empty nested cgroups only need another round, not a kill.
    if (!killed && cgroupPids(sys, paths).length > 0) {
      killed = true;
      await signalAll(sys, paths, SIGKILL);
    }
    if (waited >= REMOVE_TIMEOUT_MS) {
      const pid = cgroupPids(sys, paths)[0];
      throw new BerthError(
        "deadline_exceeded",
        `cgroup ${remaining[0]} cannot be removed${pid === undefined ? "" : `: process ${pid} is still in it`}`,
        {
          stage: "cgroup",
          path: remaining[0]!,
          hint:
            pid === undefined
              ? "something holds the cgroup: look for nested cgroups"
              : `see /proc/${pid}/stack and its state in ps: D is a hang in the kernel`,
        },
      );
    }
    await sys.sleep(step);
  }
}

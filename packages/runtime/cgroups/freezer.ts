/** Freezes and thaws cgroups of either version. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "./paths.ts";

const TIMEOUT_MS = 2000;

/** Whether the container has a freezer; an unprivileged user's container may have none. */
export function canFreeze(paths: CgroupPaths): boolean {
  return paths.v1.freezer !== undefined || paths.unified !== undefined;
}

/** Whether a cgroup is frozen or freezing. */
export function isFrozen(sys: Sys, paths: CgroupPaths): boolean {
  const v1 = paths.v1.freezer;
  if (v1 !== undefined) {
    const state = sys.readTextIfAny(`${v1}/freezer.state`)?.trim();
    return state === "FROZEN" || state === "FREEZING";
  }
  return paths.unified !== undefined && sys.readTextIfAny(`${paths.unified}/cgroup.freeze`)?.trim() === "1";
}

function hasState(sys: Sys, paths: CgroupPaths, frozen: boolean): boolean {
  const v1 = paths.v1.freezer;
  if (v1 !== undefined)
    return sys.readTextIfAny(`${v1}/freezer.state`)?.trim() === (frozen ? "FROZEN" : "THAWED");
  const events = sys.readTextIfAny(`${paths.unified}/cgroup.events`) ?? "";
  return events.includes(`frozen ${frozen ? 1 : 0}`);
}

function writeState(sys: Sys, paths: CgroupPaths, frozen: boolean): void {
  const v1 = paths.v1.freezer;
  if (v1 !== undefined) sys.writeExisting(`${v1}/freezer.state`, frozen ? "FROZEN" : "THAWED");
  else if (paths.unified !== undefined)
    sys.writeExisting(`${paths.unified}/cgroup.freeze`, frozen ? "1" : "0");
  else
    throw new BerthError("failed_precondition", "this container has no freezer cgroup", {
      stage: "freeze",
      hint: "the host lacks the controller, or the container's owner may not use it",
    });
}

/** Freezes or thaws a cgroup. Waits at most two seconds; if freezing times out, thaws it again and throws. */
export async function setFrozen(sys: Sys, paths: CgroupPaths, frozen: boolean): Promise<void> {
  writeState(sys, paths, frozen);
  for (
    let waited = 0, step = 1;
    !hasState(sys, paths, frozen);
    waited += step, step = Math.min(2 * step, 50)
  ) {
    if (waited >= TIMEOUT_MS) {
      if (frozen) writeState(sys, paths, false);
      throw new BerthError(
        "deadline_exceeded",
        `cgroup ${paths.path} did not ${frozen ? "freeze" : "thaw"} within ${TIMEOUT_MS} ms`,
        {
          stage: "freeze",
          hint: "a process of it hangs in the kernel (state D in ps)",
        },
      );
    }
    // Version 1 may stay in FREEZING if a process forked meanwhile; writing the state again helps.
    if (frozen && step >= 16) writeState(sys, paths, true);
    await sys.sleep(step);
  }
}

/** Freezing and thawing a cgroup, on either version. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import type { CgroupPaths } from "./paths.ts";

const LIMIT_MS = 2000;

/** Tells whether there is a freezer at all: a container of an ordinary user may have none. */
export function canFreeze(paths: CgroupPaths): boolean {
  return paths.v1.freezer !== undefined || paths.unified !== undefined;
}

/** Tells whether a cgroup is frozen (or about to be). */
export function isFrozen(sys: Sys, paths: CgroupPaths): boolean {
  const v1 = paths.v1.freezer;
  if (v1 !== undefined) {
    const state = sys.readTextIfAny(`${v1}/freezer.state`)?.trim();
    return state === "FROZEN" || state === "FREEZING";
  }
  return paths.unified !== undefined && sys.readTextIfAny(`${paths.unified}/cgroup.freeze`)?.trim() === "1";
}

function settled(sys: Sys, paths: CgroupPaths, frozen: boolean): boolean {
  const v1 = paths.v1.freezer;
  if (v1 !== undefined)
    return sys.readTextIfAny(`${v1}/freezer.state`)?.trim() === (frozen ? "FROZEN" : "THAWED");
  const events = sys.readTextIfAny(`${paths.unified}/cgroup.events`) ?? "";
  return events.includes(`frozen ${frozen ? 1 : 0}`);
}

function ask(sys: Sys, paths: CgroupPaths, frozen: boolean): void {
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

/** Freezes or thaws; waits at most two seconds, and thaws again when freezing does not come about. */
export async function setFrozen(sys: Sys, paths: CgroupPaths, frozen: boolean): Promise<void> {
  ask(sys, paths, frozen);
  for (
    let waited = 0, step = 1;
    !settled(sys, paths, frozen);
    waited += step, step = Math.min(2 * step, 50)
  ) {
    if (waited >= LIMIT_MS) {
      if (frozen) ask(sys, paths, false);
      throw new BerthError(
        "deadline_exceeded",
        `cgroup ${paths.path} did not ${frozen ? "freeze" : "thaw"} within ${LIMIT_MS} ms`,
        {
          stage: "freeze",
          hint: "a process of it hangs in the kernel (state D in ps)",
        },
      );
    }
    // Version 1 leaves FREEZING when a process forked meanwhile: asking again helps.
    if (frozen && step >= 16) ask(sys, paths, true);
    await sys.sleep(step);
  }
}

/** Giving up a container's cgroup, and with the systemd driver the unit it belongs to. */
import { isCode, SIGKILL } from "@berth/base";
import { cgroupFolders } from "../cgroups/paths.ts";
import { cgroupPids, signalAll } from "../cgroups/processes.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { removeGroups } from "./groups.ts";

/** Removes the cgroup with all that is left in it. */
export async function releaseCgroup(runtime: Runtime, record: ContainerRecord): Promise<void> {
  if (record.unit !== undefined) {
    // systemd would ask them to end, and wait for as long as the unit says.
    if (cgroupPids(runtime.sys, record.cgroup).length > 0)
      await signalAll(runtime.sys, record.cgroup, SIGKILL);
    const { stopUnit } = await import("../systemd/cgroup.ts");
    try {
      await stopUnit(runtime, record.unit);
    } catch (error) {
      // Where systemd does not run and nothing is left of the unit's cgroup, the record can go all the same.
      const left = cgroupFolders(record.cgroup).some((folder) => runtime.sys.stat(folder) !== undefined);
      if (left || !isCode(error, "failed_precondition")) throw error;
    }
  }
  // systemd removes what it made: not the hierarchies that it leaves to others.
  await removeGroups(runtime.sys, record);
}

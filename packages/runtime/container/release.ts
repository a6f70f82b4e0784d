/** Removes a container's cgroup and, with the systemd driver, its unit. */
import { isCode, SIGKILL } from "@berth/base";
import { cgroupFolders } from "../cgroups/paths.ts";
import { cgroupPids, signalAll } from "../cgroups/processes.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { removeGroups } from "./groups.ts";

/** Removes the cgroup, and kills its remaining processes. */
export async function releaseCgroup(runtime: Runtime, record: ContainerRecord): Promise<void> {
  if (record.unit !== undefined) {
    // Stopping the unit would send SIGTERM and wait for the unit's timeout.
    if (cgroupPids(runtime.sys, record.cgroup).length > 0)
      await signalAll(runtime.sys, record.cgroup, SIGKILL);
    const { stopUnit } = await import("../systemd/cgroup.ts");
    try {
      await stopUnit(runtime, record.unit);
    } catch (error) {
      // If systemd is not running and the unit's cgroup is gone, there is nothing to stop.
      const left = cgroupFolders(record.cgroup).some((folder) => runtime.sys.stat(folder) !== undefined);
      if (left || !isCode(error, "failed_precondition")) throw error;
    }
  }
  // systemd does not remove cgroups in hierarchies that it does not manage.
  await removeGroups(runtime.sys, record);
}

/** What a container's processes were grouped in: its cgroup, and resctrl groups where it has them. */
import type { Sys } from "@berth/sys";
import { removeCgroup } from "../cgroups/processes.ts";
import type { ContainerRecord } from "../state/record.ts";

/** Removes a container's groups, killing what is left in them. */
export async function removeGroups(sys: Sys, record: ContainerRecord): Promise<void> {
  await removeCgroup(sys, record.cgroup);
  if (record.rdt === undefined) return;
  const { removeRdt } = await import("../rdt/groups.ts");
  removeRdt(sys, record.rdt.made);
}

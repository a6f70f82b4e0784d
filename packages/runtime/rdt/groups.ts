/** Intel Resource Director Technology: the resctrl groups of a container (Documentation/filesystems/resctrl.rst). */
import { BerthError, present } from "@berth/base";
import type { IntelRdt } from "@berth/oci";
import type { Sys } from "@berth/sys";

/** The resctrl groups of a container's processes. */
export interface RdtGroups {
  /** Directory of the class of service. */
  folder: string;
  /** Directory of the monitoring group, if there is one. */
  monitor?: string;
  /** Directories created for the container, which are removed with it. */
  made: readonly string[];
  /** Lines for the class's schemata file. */
  schemata: readonly string[];
}

/** Mount point of resctrl; undefined if it is not mounted. */
function mountpoint(sys: Sys): string | undefined {
  for (const line of sys.readText("/proc/self/mountinfo").split("\n")) {
    const [head = "", tail = ""] = line.split(" - ");
    if (tail.startsWith("resctrl ")) return head.split(" ")[4];
  }
  return undefined;
}

/** Resolves linux.intelRdt; changes nothing. "failed_precondition" if the host lacks resctrl or the class. */
export function rdtGroups(sys: Sys, rdt: IntelRdt | undefined, id: string): RdtGroups | undefined {
  if (rdt === undefined) return undefined;
  const root = mountpoint(sys);
  if (root === undefined)
    throw new BerthError(
      "failed_precondition",
      "linux.intelRdt: this host has no resctrl file system mounted",
      {
        stage: "cgroup",
        hint: "mount -t resctrl resctrl /sys/fs/resctrl, on a processor that has it; or leave the field out",
      },
    );
  const folder = `${root}/${rdt.closID ?? id}`;
  const schemata = [...(rdt.schemata ?? []), rdt.l3CacheSchema, rdt.memBwSchema].filter(
    (line) => !!line,
  ) as string[];
  const exists = sys.stat(folder) !== undefined;
  if (rdt.closID !== undefined && schemata.length === 0 && !exists)
    throw new BerthError(
      "failed_precondition",
      `linux.intelRdt.closID: found ${JSON.stringify(rdt.closID)}, expected an existing class, as no schemata come with it`,
      { stage: "cgroup", path: folder },
    );
  const monitor = rdt.enableMonitoring ? `${folder}/mon_groups/${id}` : undefined;
  // The class is removed with the container only if it was created for it.
  const made = [monitor, exists ? undefined : folder].filter((path) => path !== undefined);
  return { folder, made, schemata, ...present({ monitor }) };
}

/** Removes the directories created for a container, if they still exist. */
export function removeRdt(sys: Sys, made: readonly string[]): void {
  for (const folder of made) if (sys.stat(folder) !== undefined) sys.rmdir(folder);
}

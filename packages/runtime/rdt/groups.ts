/** Intel Resource Director Technology: the resctrl groups of a container (Documentation/filesystems/resctrl.rst). */
import { BerthError } from "@berth/base";
import type { IntelRdt } from "@berth/oci";
import type { Sys } from "@berth/sys";

/** The groups that a container's processes join. */
export interface RdtGroups {
  /** Folder of the class of service. */
  folder: string;
  /** Folder of the monitoring group, if there shall be one. */
  monitor?: string;
  /** Folders that were made for the container, to be removed with it. */
  made: readonly string[];
  /** Lines for the class's schemata file. */
  schemata: readonly string[];
}

/** Where resctrl is mounted; undefined when it is not. */
function mountpoint(sys: Sys): string | undefined {
  for (const line of sys.readText("/proc/self/mountinfo").split("\n")) {
    const [head = "", tail = ""] = line.split(" - ");
    if (tail.startsWith("resctrl ")) return head.split(" ")[4];
  }
  return undefined;
}

/** Resolves linux.intelRdt; nothing is changed. "failed_precondition" where the host lacks what it needs. */
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
  // The class goes with the container only when it was made for it alone.
  const made = [monitor, exists ? undefined : folder].filter((path) => path !== undefined);
  return { folder, made, schemata, ...(monitor === undefined ? {} : { monitor }) };
}

/** Removes what was made for a container; gone already is no error. */
export function removeRdt(sys: Sys, made: readonly string[]): void {
  for (const folder of made) if (sys.stat(folder) !== undefined) sys.rmdir(folder);
}

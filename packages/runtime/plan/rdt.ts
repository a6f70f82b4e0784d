/** Operations for a container's resctrl groups. */
import type { RdtGroups } from "../rdt/groups.ts";
import type { PlanBuilder } from "./builder.ts";

const utf8 = new TextEncoder();

/** Adds the creation of the groups. */
export function planRdt(b: PlanBuilder, rdt: RdtGroups | undefined): void {
  if (rdt === undefined) return;
  b.stage("cgroup");
  for (const folder of [...rdt.made].reverse())
    b.add("setup", `make the resctrl group ${folder}`, "mkdir", [folder, 0o755]);
  for (const line of rdt.schemata)
    b.add("setup", `write ${JSON.stringify(line)} to ${rdt.folder}/schemata`, "write", [
      `${rdt.folder}/schemata`,
      utf8.encode(`${line}\n`),
    ]);
}

/** Adds the operations by which the new process joins the groups. */
export function planRdtJoin(b: PlanBuilder, rdt: Pick<RdtGroups, "folder" | "monitor"> | undefined): void {
  if (rdt === undefined) return;
  b.stage("cgroup");
  for (const folder of [rdt.folder, rdt.monitor])
    if (folder !== undefined)
      b.add("attach", `join the resctrl group ${folder}`, "write_pid", [`${folder}/tasks`]);
}

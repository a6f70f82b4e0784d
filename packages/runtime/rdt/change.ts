/** Changing the resctrl class of a container while it lives. */
import { BerthError } from "@berth/base";
import type { IntelRdt } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { type RdtGroups, rdtGroups } from "./groups.ts";

const MAX_TURNS = 100;

/** The host must know of what a flag is about, in runc's words. */
export function checkRdt(sys: Sys, wanted: Pick<IntelRdt, "l3CacheSchema" | "memBwSchema">): void {
  for (const [schema, what, folders] of [
    [wanted.l3CacheSchema, "Intel RDT/CAT: l3 cache schema is not enabled", ["L3", "L3CODE"]],
    [wanted.memBwSchema, "Intel RDT/MBA: memory bandwidth schema is not enabled", ["MB"]],
  ] as const) {
    if (!schema || folders.some((name) => sys.stat(`/sys/fs/resctrl/info/${name}`) !== undefined)) continue;
    throw new BerthError("failed_precondition", what, {
      stage: "flags",
      hint: "mount -t resctrl resctrl /sys/fs/resctrl, on a processor that has it",
    });
  }
}

function threads(sys: Sys, pids: readonly number[]): string[] {
  return pids.flatMap((pid) => sys.list(`/proc/${pid}/task`) ?? []);
}

/** Moves all threads into a group; those that begin meanwhile are in the group of who began them. */
function moveInto(sys: Sys, folder: string, pids: () => readonly number[]): void {
  const moved = new Set<string>();
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    const left = threads(sys, pids()).filter((tid) => !moved.has(tid));
    if (left.length === 0) return;
    for (const tid of left) {
      moved.add(tid);
      try {
        sys.writeExisting(`${folder}/tasks`, tid);
      } catch (error) {
        if (BerthError.from(error).errno !== "ESRCH") throw error;
      }
    }
  }
  throw new BerthError("deadline_exceeded", `${folder}: the container starts threads faster than they move`, {
    stage: "update",
  });
}

/**
 * The class for a container that was created without one; `remember` is called before it is made. Its processes are in it
 * only once it has its schemata.
 */
export function newClass(
  sys: Sys,
  id: string,
  lines: readonly string[],
  pids: () => readonly number[],
  remember: (groups: RdtGroups) => void,
): void {
  const groups = rdtGroups(sys, { schemata: [...lines] }, id)!;
  remember(groups);
  for (const folder of [...groups.made].reverse()) sys.mkdir(folder, 0o755);
  changeSchemata(sys, groups, lines);
  moveInto(sys, groups.folder, pids);
}

/** Writes lines such as "L3:0=f" into a class's schemata; what they do not name stays. */
export function changeSchemata(sys: Sys, groups: RdtGroups, lines: readonly string[]): void {
  for (const line of lines) sys.writeExisting(`${groups.folder}/schemata`, `${line}\n`);
}

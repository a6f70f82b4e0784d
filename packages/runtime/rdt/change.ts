/** Changes the resctrl class of a live container. */
import { BerthError } from "@berth/base";
import type { IntelRdt } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { type RdtGroups, rdtGroups } from "./groups.ts";

const MAX_ROUNDS = 100;

/** Checks that the host supports the requested schemas; otherwise "failed_precondition" with runc's message. */
export function checkRdt(sys: Sys, schemas: Pick<IntelRdt, "l3CacheSchema" | "memBwSchema">): void {
  for (const [schema, what, folders] of [
    [schemas.l3CacheSchema, "Intel RDT/CAT: l3 cache schema is not enabled", ["L3", "L3CODE"]],
    [schemas.memBwSchema, "Intel RDT/MBA: memory bandwidth schema is not enabled", ["MB"]],
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

/** Moves all threads to a group. Repeats for threads that start meanwhile, which are in the group of their creator. */
function moveThreads(sys: Sys, folder: string, pids: () => readonly number[]): void {
  const moved = new Set<string>();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const remaining = threads(sys, pids()).filter((tid) => !moved.has(tid));
    if (remaining.length === 0) return;
    for (const tid of remaining) {
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
 * Creates a class for a container that has none, and moves its processes there after the schemata are written. `record` is
 * called before anything is created.
 */
export function newClass(
  sys: Sys,
  id: string,
  lines: readonly string[],
  pids: () => readonly number[],
  record: (groups: RdtGroups) => void,
): void {
  const groups = rdtGroups(sys, { schemata: [...lines] }, id)!;
  record(groups);
  for (const folder of [...groups.made].reverse()) sys.mkdir(folder, 0o755);
  changeSchemata(sys, groups, lines);
  moveThreads(sys, groups.folder, pids);
}

/** Writes lines such as "L3:0=f" to a class's schemata; resources without a line are not changed. */
export function changeSchemata(sys: Sys, groups: RdtGroups, lines: readonly string[]): void {
  for (const line of lines) sys.writeExisting(`${groups.folder}/schemata`, `${line}\n`);
}

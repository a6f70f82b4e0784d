/** Leaked cgroups: of containers created here, below a namespace's cgroup, and without a task. */
import { cgroupFolders, cgroupPids, pathsBelow, readLayout, removeCgroup } from "@berth/runtime";
import type { Instance, Leak } from "./finding.ts";
import { bundlesOf, hasRecord, madeHere, namespacesOf } from "./known.ts";

/** Ids that cannot be another engine's by chance. */
const UNIQUE = /^[0-9a-f]{64}$/;

/** Searches below /NAMESPACE in every hierarchy. */
export function cgroupLeaks(instance: Instance): Leak[] {
  const { sys } = instance;
  const layout = readLayout(sys);
  const found = new Set<string>();
  for (const ns of namespacesOf(instance))
    for (const folder of cgroupFolders(pathsBelow(layout, `/${ns}`)))
      for (const id of sys.list(folder) ?? [])
        if (!id.includes(".") && sys.lstat(`${folder}/${id}`)?.kind === "folder") found.add(`${ns}/${id}`);
  if (found.size === 0) return [];
  const alive = new Set(bundlesOf(instance).map(({ ns, id }) => `${ns}/${id}`));
  const made = madeHere(instance);
  return [...found].flatMap((name): Leak[] => {
    const [ns, id] = name.split("/") as [string, string];
    if (alive.has(name) || !(made.has(name) || hasRecord(instance, ns, id))) return [];
    const paths = pathsBelow(layout, `/${name}`);
    const folders = cgroupFolders(paths).filter((folder) => sys.stat(folder) !== undefined);
    const pids = cgroupPids(sys, paths);
    // Another daemon may run a container of the same name.
    if (folders.length === 0 || (pids.length > 0 && !UNIQUE.test(id))) return [];
    const inside =
      pids.length === 0 ? "" : `, but ${pids.length} processes in it (${pids.slice(0, 5).join(", ")})`;
    return [
      {
        kind: "cgroup",
        where: folders[0]!,
        why: `container ${id} of namespace ${ns} has no task${inside}`,
        fix:
          pids.length === 0
            ? "remove it from all hierarchies"
            : "kill them and remove it from all hierarchies",
        apply: () => removeCgroup(sys, paths),
      },
    ];
  });
}

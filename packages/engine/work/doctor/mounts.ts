/**
 * Leaked mounts and network namespaces, below the folders of bundles and snapshots; these contain none in normal
 * operation.
 */
import { BerthError } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { mountPoints } from "../../base/core/mount-points.ts";
import type { Instance, Leak } from "./finding.ts";
import { hasRecord, tasksFolder } from "./known.ts";

/**
 * Mount points below the daemon's private folders; mounts that an administrator made for it (a disk, say) are
 * skipped.
 */
export function mountLeaks(instance: Instance): Leak[] {
  const { root, state, sys } = instance;
  const tasks = `${tasksFolder(instance)}/`;
  const leaks = mountPoints(sys.readText("/proc/self/mountinfo")).flatMap(({ point, type }): Leak[] => {
    const [ns, id] = point.startsWith(tasks) ? point.slice(tasks.length).split("/") : [];
    const ofTask = ns !== undefined && id !== undefined;
    if (ofTask && hasRecord(instance, ns, id)) return [];
    const ofRuntime = point.startsWith(`${state}/runc/`) || point.startsWith(`${state}/netns/`);
    const ofSnapshot = point.startsWith(`${root}/snapshots/`) && /\/snapshots\/[^/]+\/\d+\//.test(point);
    if (!ofTask && !ofRuntime && !ofSnapshot && !ofNoActivation(instance, point)) return [];
    return [
      {
        kind: type === "nsfs" ? "network namespace" : "mount",
        where: point,
        why: `a ${type} is mounted there, and no container uses it`,
        fix: "unmount it",
        apply: () => linux.umount(point, linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW),
      },
    ];
  });
  // The most recent mount is on top.
  return leaks.reverse();
}

/** Whether a mount is below the folder of activations, and none has it. */
function ofNoActivation({ db, state }: Instance, point: string): boolean {
  const folder = `${state}/mounts/`;
  if (!point.startsWith(folder)) return false;
  const number = Number(point.slice(folder.length).split("/")[0]);
  return db.get("SELECT 1 FROM activations WHERE number = ?", number) === undefined;
}

/** Throws if anything is mounted below a folder that is about to be removed: its files are not the folder's. */
export function refuseMounts(sys: Sys, folder: string): void {
  const found = mountPoints(sys.readText("/proc/self/mountinfo")).find(({ point }) =>
    point.startsWith(`${folder}/`),
  );
  if (found !== undefined)
    throw new BerthError("failed_precondition", `a ${found.type} is mounted on ${found.point}`, {
      path: found.point,
      hint: "unmount it first",
    });
}

/** Leaked mounts and network namespaces: below the folders of bundles and snapshots, which have none of their own. */
import { BerthError } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import type { Leak, Place } from "./finding.ts";
import { hasRecord, tasksFolder } from "./known.ts";

/** Mount points below what is the daemon's alone; what somebody mounted for it (a disk, say) is not looked at. */
export function mountLeaks(place: Place): Leak[] {
  const { root, state, sys } = place;
  const tasks = `${tasksFolder(place)}/`;
  const leaks = mountPoints(sys.readText("/proc/self/mountinfo")).flatMap(({ point, type }): Leak[] => {
    const [ns, id] = point.startsWith(tasks) ? point.slice(tasks.length).split("/") : [];
    const ofTask = ns !== undefined && id !== undefined;
    if (ofTask && hasRecord(place, ns, id)) return [];
    const ofRuntime = point.startsWith(`${state}/runc/`) || point.startsWith(`${state}/netns/`);
    const ofSnapshot = point.startsWith(`${root}/snapshots/`) && /\/snapshots\/[^/]+\/\d+\//.test(point);
    if (!ofTask && !ofRuntime && !ofSnapshot) return [];
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
  // What was mounted last is on top.
  return leaks.reverse();
}

/** Throws when something is mounted below a folder that is to be removed: its files are not the folder's. */
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

/** Mount points and types of a mountinfo, whose paths have octal escapes. */
function mountPoints(mountinfo: string): { point: string; type: string }[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ");
    const point = before?.split(" ")[4];
    const type = after?.split(" ")[0];
    if (point === undefined || type === undefined) return [];
    const text = point.replace(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return [{ point: Buffer.from(text, "latin1").toString("utf8"), type }];
  });
}

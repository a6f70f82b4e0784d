/** How state and list show a container, with runc's field names. */

import { present } from "@berth/base";
import type { ContainerInfo } from "@berth/runtime";
import type { Sys } from "@berth/sys";

/** A user's name in /etc/passwd, for list's OWNER column. */
function ownerName(sys: Sys, uid: number): string {
  const line = sys
    .readTextIfAny("/etc/passwd")
    ?.split("\n")
    .find((l) => l.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? `#${uid}`;
}

/** The object that runc prints for a container. */
export function shownState(sys: Sys, { record, status, state }: ContainerInfo) {
  return {
    ociVersion: state.ociVersion,
    id: state.id,
    pid: state.pid ?? 0,
    status,
    bundle: record.bundle,
    rootfs: record.rootfs,
    created: record.created,
    ...present({ annotations: record.annotations }),
    owner: ownerName(sys, record.owner),
  };
}

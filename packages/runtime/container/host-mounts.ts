/** What a plan must know of the host's mounts, read off the text of /proc/self/mountinfo (proc(5)). Pure. */
import { unescapeMountinfo } from "../cgroups/layout.ts";

/** Mount point of the mount that an absolute path without links lies on. */
export function mountOf(mountinfo: string, path: string): string {
  let best = "/";
  for (const line of mountinfo.split("\n")) {
    const place = unescapeMountinfo(line.split(" ")[4] ?? "");
    if (place.length > best.length && `${path}/`.startsWith(`${place}/`)) best = place;
  }
  return best;
}

/**
 * Mount points of whole procfs and sysfs outside of the root file system, the deepest first. Where they can be seen the
 * kernel lets a user namespace mount others, without the masks that the container's own have.
 */
export function bareKernelMounts(mountinfo: string, rootfs: string): string[] {
  return mountinfo
    .split("\n")
    .map((line) => ({ fields: line.split(" "), type: line.split(" - ")[1]?.split(" ")[0] }))
    .filter(({ fields, type }) => fields[3] === "/" && (type === "proc" || type === "sysfs"))
    .map(({ fields }) => unescapeMountinfo(fields[4]!))
    .filter((place) => !`${place}/`.startsWith(`${rootfs}/`))
    .sort((x, y) => y.length - x.length);
}

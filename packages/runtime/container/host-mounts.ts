/** Facts about host mounts, from the text of /proc/self/mountinfo (proc(5)). Pure. */
import { unescapeMountinfo } from "../cgroups/layout.ts";

/** Mount point of the mount that contains an absolute path without symlinks. */
export function mountpointOf(mountinfo: string, path: string): string {
  let best = "/";
  for (const line of mountinfo.split("\n")) {
    const mountpoint = unescapeMountinfo(line.split(" ")[4] ?? "");
    if (mountpoint.length > best.length && `${path}/`.startsWith(`${mountpoint}/`)) best = mountpoint;
  }
  return best;
}

/**
 * Mount points of unmasked procfs and sysfs outside the root file system, deepest first. While one is visible, the kernel
 * lets a user namespace mount a new instance, without the container's masks.
 */
export function bareKernelMounts(mountinfo: string, rootfs: string): string[] {
  return mountinfo
    .split("\n")
    .map((line) => ({ fields: line.split(" "), type: line.split(" - ")[1]?.split(" ")[0] }))
    .filter(({ fields, type }) => fields[3] === "/" && (type === "proc" || type === "sysfs"))
    .map(({ fields }) => unescapeMountinfo(fields[4]!))
    .filter((mountpoint) => !`${mountpoint}/`.startsWith(`${rootfs}/`))
    .sort((x, y) => y.length - x.length);
}

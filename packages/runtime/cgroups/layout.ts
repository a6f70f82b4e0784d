/** The host's cgroup hierarchies and where they are mounted: version 1, version 2, or both (hybrid). */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";

/** One mounted version 1 hierarchy. */
export interface Hierarchy {
  /** Its controllers ("cpu", "cpuacct"), or "name=systemd" for a named hierarchy without any. */
  readonly controllers: readonly string[];
  readonly mountpoint: string;
}

/** The host's cgroup file systems. */
export interface CgroupLayout {
  /** v2: only a unified hierarchy. v1: no unified hierarchy. hybrid: both. */
  readonly mode: "v1" | "v2" | "hybrid";
  readonly v1: readonly Hierarchy[];
  /** Mount point of the unified hierarchy. */
  readonly unified: string | undefined;
}

/**
 * Every controller that version 1 has had (cgroups(7)). Other mount options, such as "xattr" or SELinux's "seclabel", are
 * not controllers.
 */
const CONTROLLERS = new Set([
  "blkio",
  "cpu",
  "cpuacct",
  "cpuset",
  "debug",
  "devices",
  "freezer",
  "hugetlb",
  "memory",
  "misc",
  "net_cls",
  "net_prio",
  "perf_event",
  "pids",
  "rdma",
]);

/** Decodes the octal escapes of /proc/self/mountinfo (proc(5)). */
export function unescapeMountinfo(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** Parses the text of /proc/self/mountinfo. */
export function parseLayout(mountinfo: string): CgroupLayout {
  const v1 = new Map<string, Hierarchy>();
  let unified: string | undefined;
  for (const line of mountinfo.split("\n")) {
    const [left, right] = line.split(" - ");
    if (left === undefined || right === undefined) continue;
    const mountpoint = unescapeMountinfo(left.split(" ")[4] ?? "");
    const [type, , options = ""] = right.split(" ");
    if (type === "cgroup2" && mountpoint.startsWith("/sys/fs/cgroup")) unified ??= mountpoint;
    if (type !== "cgroup" || !mountpoint.startsWith("/sys/fs/cgroup/")) continue;
    const controllers = options
      .split(",")
      .filter((option) => CONTROLLERS.has(option) || option.startsWith("name="));
    // A hierarchy may be mounted more than once; the first mount has the usual name.
    const key = controllers.join(",");
    if (!v1.has(key)) v1.set(key, { controllers, mountpoint });
  }
  const mode = v1.size === 0 ? "v2" : unified === undefined ? "v1" : "hybrid";
  return { mode, v1: [...v1.values()], unified };
}

/** Reads the host's layout; "failed_precondition" if no cgroup file system is mounted. */
export function readLayout(sys: Sys): CgroupLayout {
  const layout = parseLayout(sys.readText("/proc/self/mountinfo"));
  if (layout.v1.length === 0 && layout.unified === undefined) {
    throw new BerthError("failed_precondition", "no cgroup file system is mounted below /sys/fs/cgroup", {
      stage: "cgroup",
      path: "/proc/self/mountinfo",
      hint: "mount cgroup2 on /sys/fs/cgroup, as systemd does at boot",
    });
  }
  return layout;
}

/** Mount point of a version 1 controller. */
export function v1Mountpoint(layout: CgroupLayout, controller: string): string | undefined {
  return layout.v1.find((h) => h.controllers.includes(controller))?.mountpoint;
}

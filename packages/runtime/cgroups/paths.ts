/** Paths of a container's cgroup in each hierarchy. */
import { BerthError } from "@berth/base";
import type { CgroupLayout } from "./layout.ts";

/** A container's cgroup: its directory in every hierarchy of the host. */
export interface CgroupPaths {
  /** Path below each mount point, with a leading slash: "/berth/abc". */
  readonly path: string;
  /** Version 1 directories by controller ("memory" -> "/sys/fs/cgroup/memory/berth/abc"). */
  readonly v1: Readonly<Record<string, string>>;
  /** Directory in the unified hierarchy. */
  readonly unified?: string;
}

/**
 * Resolves linux.cgroupsPath, by default "/ID". "invalid_argument" for a path with "..", for the root itself, and for the
 * systemd driver's "slice:prefix:name".
 */
export function cgroupPaths(layout: CgroupLayout, cgroupsPath: string | undefined, id: string): CgroupPaths {
  const requested = cgroupsPath === undefined || cgroupsPath === "" ? `/${id}` : cgroupsPath;
  const parts = requested.split("/").filter((p) => p !== "" && p !== ".");
  if (parts.includes("..") || parts.length === 0) {
    throw new BerthError(
      "invalid_argument",
      `linux.cgroupsPath: found ${JSON.stringify(requested)}, expected a path below the root without ".."`,
      { stage: "cgroup" },
    );
  }
  if (/^[^/]+:[^/]*:[^/]*$/.test(requested)) {
    throw new BerthError(
      "invalid_argument",
      `linux.cgroupsPath: ${JSON.stringify(requested)} is for the systemd cgroup driver`,
      { stage: "cgroup", hint: "add --systemd-cgroup, or use a path such as /berth/ID" },
    );
  }
  return pathsBelow(layout, `/${parts.join("/")}`);
}

/** Directories of the cgroup at `path` below every mount point. */
export function pathsBelow(layout: CgroupLayout, path: string): CgroupPaths {
  const v1: Record<string, string> = {};
  for (const hierarchy of layout.v1) {
    for (const controller of hierarchy.controllers) v1[controller] = hierarchy.mountpoint + path;
  }
  return layout.unified === undefined ? { path, v1 } : { path, v1, unified: layout.unified + path };
}

/** All directories of a cgroup, without duplicates. */
export function cgroupFolders(paths: CgroupPaths): string[] {
  return [...new Set([...Object.values(paths.v1), ...(paths.unified === undefined ? [] : [paths.unified])])];
}

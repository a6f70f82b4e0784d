/** Where a container's cgroup lies in each hierarchy. */
import { BerthError } from "@berth/base";
import type { CgroupLayout } from "./layout.ts";

/** A container's cgroup: its folder in every hierarchy of the host. */
export interface CgroupPaths {
  /** Path below each mount point, absolute: "/berth/abc". */
  readonly path: string;
  /** Version 1 folders by controller ("memory" -> "/sys/fs/cgroup/memory/berth/abc"). */
  readonly v1: Readonly<Record<string, string>>;
  /** Folder in the unified hierarchy. */
  readonly unified?: string;
}

/**
 * Resolves linux.cgroupsPath; without one the cgroup is "/ID". "invalid_argument" for a path with "..", for the root
 * itself, and for the systemd driver's "slice:prefix:name".
 */
export function cgroupPaths(layout: CgroupLayout, cgroupsPath: string | undefined, id: string): CgroupPaths {
  const asked = cgroupsPath === undefined || cgroupsPath === "" ? `/${id}` : cgroupsPath;
  const parts = asked.split("/").filter((p) => p !== "" && p !== ".");
  if (parts.includes("..") || parts.length === 0) {
    throw new BerthError(
      "invalid_argument",
      `linux.cgroupsPath: found ${JSON.stringify(asked)}, expected a path below the root without ".."`,
      { stage: "cgroup" },
    );
  }
  if (/^[^/]+:[^/]*:[^/]*$/.test(asked)) {
    throw new BerthError(
      "invalid_argument",
      `linux.cgroupsPath: ${JSON.stringify(asked)} is for the systemd cgroup driver`,
      { stage: "cgroup", hint: "add --systemd-cgroup, or use a path such as /berth/ID" },
    );
  }
  return pathsBelow(layout, `/${parts.join("/")}`);
}

/** A cgroup's folder in every hierarchy, by its path below the mount points. */
export function pathsBelow(layout: CgroupLayout, path: string): CgroupPaths {
  const v1: Record<string, string> = {};
  for (const hierarchy of layout.v1) {
    for (const controller of hierarchy.controllers) v1[controller] = hierarchy.mountpoint + path;
  }
  return layout.unified === undefined ? { path, v1 } : { path, v1, unified: layout.unified + path };
}

/** All folders of a cgroup, each once. */
export function cgroupFolders(paths: CgroupPaths): string[] {
  return [...new Set([...Object.values(paths.v1), ...(paths.unified === undefined ? [] : [paths.unified])])];
}

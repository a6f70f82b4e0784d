/**
 * Reads small files of a container's root file system without mounting it: from the directories that its
 * snapshot's mounts name, the upper layer first. Symbolic links are not followed, so nothing outside is read.
 */
import { lstatSync, readFileSync, type Stats } from "node:fs";
import { join } from "node:path";
import type { SnapshotMount } from "../snapshots.ts";

const MAX_BYTES = 1 << 20;

/** Directories of a snapshot, topmost layer first; [] for other kinds of mounts. */
export function layersOf(mounts: readonly SnapshotMount[]): string[] {
  const [mount] = mounts;
  if (mounts.length !== 1 || !mount) return [];
  if (mount.type === "bind" || mount.options.includes("bind") || mount.options.includes("rbind"))
    return [mount.source];
  if (mount.type !== "overlay") return [];
  const option = (name: string) =>
    mount.options.find((o) => o.startsWith(`${name}=`))?.slice(name.length + 1);
  const lower = option("lowerdir")?.split(":") ?? [];
  const upper = option("upperdir");
  return upper === undefined ? lower : [upper, ...lower];
}

/** The text of a file such as "etc/passwd"; "" if it is missing, not a regular file, or too large. */
export function readRootfsFile(layers: readonly string[], path: string): string {
  for (const layer of layers) {
    const found = look(layer, path.split("/"));
    if (found === "next layer") continue;
    return found === "absent" ? "" : found;
  }
  return "";
}

function look(layer: string, parts: readonly string[]): string {
  let at = layer;
  let stat: Stats | undefined;
  for (const [i, part] of parts.entries()) {
    at = join(at, part);
    try {
      stat = lstatSync(at);
    } catch {
      return "next layer";
    }
    // A character device 0:0 is overlayfs's whiteout: the lower layers' entry of that name is deleted.
    if (stat.isCharacterDevice() && stat.rdev === 0) return "absent";
    if (i < parts.length - 1 && !stat.isDirectory()) return "absent";
  }
  if (!stat?.isFile() || stat.size > MAX_BYTES) return "absent";
  return readFileSync(at, "utf8");
}

/** Disk usage of a folder; hard links count once, as in `du`, and what a clone shares with its original not at all. */
import * as fs from "node:fs";
import { join } from "node:path";

/** Bytes on disk (allocated blocks) and inodes of `folder` and everything below, without what is the same in `original`. */
export async function diskUsage(
  folder: string,
  original?: string,
): Promise<{ size: number; inodes: number }> {
  const linked = new Set<string>();
  let size = 0;
  let inodes = 0;
  const count = (path: string) => {
    const stat = fs.lstatSync(path);
    if (original !== undefined && isSame(stat, join(original, path.slice(folder.length)))) return;
    if (stat.nlink > 1 && !stat.isDirectory()) {
      const key = `${stat.dev}:${stat.ino}`;
      if (linked.has(key)) return;
      linked.add(key);
    }
    size += stat.blocks * 512;
    inodes++;
  };
  const todo = [folder];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    count(next);
    // Yields after each folder: a large tree must not block other work.
    for (const entry of await fs.promises.readdir(next, { withFileTypes: true })) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) todo.push(path);
      else count(path);
    }
  }
  return { size, inodes };
}

/** Whether a clone's file has not been touched: the number and the time of its last change are the original's. */
function isSame(stat: fs.Stats, path: string): boolean {
  const found = fs.lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.ino === stat.ino && found.ctimeMs === stat.ctimeMs;
}

/** Disk usage of a folder; hard links count once, as in `du`. */
import * as fs from "node:fs";
import { join } from "node:path";

/** Bytes on disk (allocated blocks) and inodes of `folder` and everything below. */
export async function diskUsage(folder: string): Promise<{ size: number; inodes: number }> {
  const linked = new Set<string>();
  let size = 0;
  let inodes = 0;
  const count = (stat: fs.Stats) => {
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
    count(fs.lstatSync(next));
    // Yields after each folder: a large tree must not block other work.
    for (const entry of await fs.promises.readdir(next, { withFileTypes: true })) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) todo.push(path);
      else count(fs.lstatSync(path));
    }
  }
  return { size, inodes };
}

/** Mounts of a root file system that are regular files: with the option "loop", a loop device shows the file. */
import type { Sys } from "@berth/sys";
import type { RootfsMount } from "../contract/task-shim.ts";

const LOOP = "loop";

/**
 * Calls `work` with mounts of loop devices in the place of files. The kernel detaches a device when it is mounted
 * nowhere any more; until `work` has mounted it, it is held open.
 */
export async function withLoops<T>(
  sys: Sys,
  mounts: readonly RootfsMount[],
  work: (mounts: readonly RootfsMount[]) => Promise<T>,
): Promise<T> {
  if (!mounts.some(({ options }) => options.includes(LOOP))) return work(mounts);
  const held: number[] = [];
  try {
    const devices: RootfsMount[] = [];
    for (const mount of mounts) {
      const { source, options } = mount;
      if (!options.includes(LOOP)) {
        devices.push(mount);
        continue;
      }
      const readonly = options.lastIndexOf("ro") > options.lastIndexOf("rw");
      const { path, fd } = await sys.attachLoop(source, readonly);
      held.push(fd);
      devices.push({ ...mount, source: path, options: options.filter((option) => option !== LOOP) });
    }
    return await work(devices);
  } finally {
    for (const fd of held) sys.close(fd);
  }
}

/** mount(2) and umount2(2) by path, on the host; mounts of a container are operations of berth-init's plan. */
import { syscall, syscallAsync } from "./binding.ts";

/** mount(2). `data` is the file system's option string, at most a page. */
export function mount(source: string, target: string, type: string, flags: number, data = ""): void {
  syscall("mount", target, source, target, type, flags, data);
}

/** umount2(2), on a thread of the pool: unmounting may write back and block. */
export async function umount(target: string, flags = 0): Promise<void> {
  await syscallAsync("umount2", target, target, flags);
}

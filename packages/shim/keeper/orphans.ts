/** Killing of abandoned launches, which are found by the arguments of berth-init. */

import { log, SIGKILL } from "@berth/base";
import { linux } from "@berth/sys";
import type { ShimContext } from "./context.ts";

const GONE_MS = 5000;

/** Is this a process of the launch: the keeper, or the container's process before exec? */
function belongs(shim: ShimContext, pid: string, exitName: string): boolean {
  const args = shim.sys.readTextIfAny(`/proc/${pid}/cmdline`)?.split("\0");
  return args?.[0] === "berth-init" && args[2] === exitName;
}

/** Kills the processes of a launch and waits for their end. */
export async function killLaunch(shim: ShimContext, token: string): Promise<void> {
  const { sys } = shim;
  const exitName = shim.folders.exitName(token);
  const waits: Promise<unknown>[] = [];
  for (const pid of sys.list("/proc") ?? []) {
    if (!/^\d+$/.test(pid) || !belongs(shim, pid, exitName)) continue;
    const pidfd = sys.pidfdOpen(Number(pid));
    if (pidfd === undefined) continue;
    // Checked again after pidfd_open: from here on the pid cannot be reused.
    if (belongs(shim, pid, exitName)) {
      log.info("killing an unfinished launch", { pid });
      sys.pidfdSignal(pidfd, SIGKILL);
      waits.push(sys.poll(pidfd, linux.POLLIN, GONE_MS).finally(() => sys.close(pidfd)));
    } else sys.close(pidfd);
  }
  await Promise.all(waits);
}

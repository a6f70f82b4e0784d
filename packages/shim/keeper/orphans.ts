/** Ending a launch that nobody follows any more: berth-init carries its keeper's name among its arguments. */
import { log, SIGKILL } from "@berth/base";
import type { ShimContext } from "./context.ts";

const POLLIN = 1;
const GONE_MS = 5000;

/** Is this one of the launch's processes (its parent, or the container's before it executes)? */
function belongs(shim: ShimContext, pid: string, exitName: string): boolean {
  const words = shim.sys.readTextIfAny(`/proc/${pid}/cmdline`)?.split("\0");
  return words?.[0] === "berth-init" && words[2] === exitName;
}

/** Kills what a launch left running, and waits for its end. */
export async function killLaunch(shim: ShimContext, token: string): Promise<void> {
  const { sys } = shim;
  const exitName = shim.folders.exitName(token);
  const waits: Promise<unknown>[] = [];
  for (const pid of sys.list("/proc") ?? []) {
    if (!/^\d+$/.test(pid) || !belongs(shim, pid, exitName)) continue;
    const pidfd = sys.pidfdOpen(Number(pid));
    if (pidfd === undefined) continue;
    // Looked at once more behind the pidfd: now the pid cannot have become another's.
    if (belongs(shim, pid, exitName)) {
      log.info("killing an unfinished launch", { pid });
      sys.pidfdSignal(pidfd, SIGKILL);
      waits.push(sys.poll(pidfd, POLLIN, GONE_MS).finally(() => sys.close(pidfd)));
    } else sys.close(pidfd);
  }
  await Promise.all(waits);
}

/** Removes what is left of a container whose serving process has died, by that process's records. */
import { isCode, SIGKILL, systemClock } from "@berth/base";
import * as runtime from "@berth/runtime";
import { linux, type Sys } from "@berth/sys";
import type { Exit } from "../contract/task-shim.ts";
import { ShimContext } from "../keeper/context.ts";
import { forgetTask } from "../keeper/delete.ts";
import { Folders } from "../keeper/folders.ts";
import { recordedExit } from "../keeper/follow.ts";
import { killLaunch } from "../keeper/orphans.ts";
import { readTask } from "../keeper/recover.ts";
import type { Place } from "./place.ts";
import { removeShm, SANDBOX_FILE, type SandboxRecord } from "./sandboxes.ts";

const KILLED_STATUS = 137;
/** How long a keeper may take to record the exit, in milliseconds. */
const RECORD_MS = 1000;
/** How long to wait for the lock, in milliseconds; a serving process holds it for good. */
const LOCK_MS = 100;

/** Kills and removes all of a container; returns how its init process ended. */
export async function removeRemains(
  sys: Sys,
  place: Place,
  namespace: string,
  id: string,
  bundle: string,
): Promise<Exit & { pid: number }> {
  await removeSandbox(sys, bundle);
  const shim = new ShimContext(sys, new Folders(place.folder), 1);
  const task = readTask(shim, namespace, id, bundle);
  const first = task.processes.get("")?.record;
  // Unfinished launches first, then all that runs; a keeper exits with its process.
  for (const { record } of task.processes.values())
    if (record.pid === 0) await killLaunch(shim, record.token);
  await runtime.remove(shim.runtimeOf(task), id, true);
  // All keepers write exit records, which must be there before they are removed.
  const exits = new Map<string, Exit>();
  for (const { record } of task.processes.values())
    exits.set(record.execId, await writtenExit(shim, record.token));
  if (first !== undefined) forgetTask(shim, task);
  await clearPlace(sys, place, namespace);
  return { pid: first?.pid ?? 0, ...(exits.get("") ?? killed()) };
}

/** If this is the bundle of a sandbox, kills its pause process. */
async function removeSandbox(sys: Sys, bundle: string): Promise<void> {
  const content = sys.readTextIfAny(`${bundle}/${SANDBOX_FILE}`);
  if (content === undefined) return;
  const { pid, startTime, shm } = JSON.parse(content) as SandboxRecord;
  const pidfd = sys.pidfdOpen(pid);
  if (pidfd !== undefined) {
    // Checked after pidfd_open: from here on the pid cannot be reused.
    if (runtime.processStat(sys, pid)?.startTime === startTime) sys.pidfdSignal(pidfd, SIGKILL);
    sys.close(pidfd);
  }
  await removeShm(sys, shm);
}

function killed(): Exit {
  return { exitStatus: KILLED_STATUS, exitedAt: systemClock.wall() };
}

async function writtenExit(shim: ShimContext, token: string): Promise<Exit> {
  const { sys } = shim;
  for (const until = sys.monotonicMs() + RECORD_MS; ; ) {
    const exit = recordedExit(shim, token);
    if (exit !== undefined) return exit;
    // No keeper, no record.
    const socket = shim.folders.socket(token);
    if (sys.lstat(socket) === undefined || sys.monotonicMs() > until) return killed();
    await sys.sleep(2);
  }
}

/** Removes the serving process's folder with its last container, unless there is a new process. */
async function clearPlace(sys: Sys, { folder, socket }: Place, namespace: string): Promise<void> {
  let lock: number;
  try {
    lock = sys.open(`${folder}/lock`, linux.O_RDWR);
  } catch (error) {
    if (isCode(error, "not_found")) return;
    throw error;
  }
  try {
    // Another `delete` holds it for an instant, and may not have seen that this container is gone.
    for (const until = sys.monotonicMs() + LOCK_MS; !sys.tryLock(lock); await sys.sleep(2))
      if (sys.monotonicMs() > until) return;
    const left = [
      ...(sys.list(`${folder}/runc/${namespace}`) ?? []),
      ...(sys.list(`${folder}/sandboxes`) ?? []),
      ...(sys.list(`${folder}/keepers`) ?? []),
    ];
    if (left.length > 0) return;
    sys.unlink(socket);
    sys.removeTree(folder);
  } finally {
    sys.close(lock);
  }
}

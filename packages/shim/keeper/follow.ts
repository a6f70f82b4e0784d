/** Following keepers: OOM kills and exits. */

import { log, SIGKILL, systemClock } from "@berth/base";
import * as runtime from "@berth/runtime";
import { linux } from "@berth/sys";
import { reapLater } from "../contract/reap.ts";
import type { ShimContext, Task } from "./context.ts";
import { KeeperLink, parseExit, type RecordedExit } from "./keeper-link.ts";
import type { KeeperProcess } from "./keeper-process.ts";
import { oomCgroup } from "./oom.ts";

const LOST_STATUS = 137;
/** How long a killed process may take to end. */
const KILLED_MS = 5000;

/** A keeper's exit record; undefined while the process runs, or if the keeper was killed. */
export function recordedExit(shim: ShimContext, token: string): RecordedExit | undefined {
  const content = shim.sys.readTextIfAny(shim.folders.exit(token));
  return content === undefined ? undefined : parseExit(content);
}

/** Connects to a process's keeper and follows it. */
export async function follow(shim: ShimContext, task: Task, process: KeeperProcess): Promise<void> {
  const { token } = process.record;
  const link = await KeeperLink.open(shim.sys, shim.folders.socket(token));
  process.link = link;
  // Not awaited: during a start, the exit is reported after it.
  if (link === undefined) {
    void ended(shim, task, process, recordedExit(shim, token));
    return;
  }
  if (process.stdinClosed) void link.command("CLOSE_STDIN").catch(() => undefined);
  link.onOom = (ooms) => reportOoms(shim, task, process, ooms);
  void link.ended.then((exit) => ended(shim, task, process, exit ?? recordedExit(shim, token)));
}

/** Records and reports OOM kills, once each. */
function reportOoms(shim: ShimContext, task: Task, process: KeeperProcess, ooms: number): void {
  const { record } = process;
  if (ooms <= (record.ooms ?? 0) || shim.closed) return;
  record.ooms = ooms;
  const { namespace, id } = task;
  try {
    shim.save(task, record);
    const { cgroup } = runtime.inspect(shim.runtimeOf(task), id).record;
    const found = oomCgroup(shim.sys, cgroup);
    log.warn("the kernel killed a process for lack of memory", {
      namespace,
      id,
      cgroup: found ?? cgroup.path,
    });
    shim.emit({ topic: "/tasks/oom", namespace, id, cgroup: found });
  } catch (error) {
    // The container may be about to go.
    log.debug("an out-of-memory kill could not be looked into", { id, error: String(error) });
    shim.emit({ topic: "/tasks/oom", namespace, id, cgroup: undefined });
  }
}

async function ended(
  shim: ShimContext,
  task: Task,
  process: KeeperProcess,
  exit: RecordedExit | undefined,
): Promise<void> {
  await process.starting?.catch(() => undefined);
  reapLater(shim.sys, process.keeperPid);
  let known = exit;
  if (known === undefined) {
    if (shim.closed) return;
    known = await killLost(shim, task, process);
  }
  if (process.record.execId === "") reportOoms(shim, task, process, known.ooms);
  const { exitStatus, exitedAt } = known;
  if (!process.end({ exitStatus, exitedAt })) return;
  const { execId, pid } = process.record;
  const { namespace, id } = task;
  shim.emit({ topic: "/tasks/exit", namespace, id, execId, pid, exitStatus, exitedAt });
}

/** The keeper was killed, and streams and exit code are lost: its process must not run on unsupervised. */
async function killLost(shim: ShimContext, task: Task, process: KeeperProcess): Promise<RecordedExit> {
  const { sys } = shim;
  const { record } = process;
  const facts = { task: task.id, exec: record.execId, pid: record.pid };
  log.warn("a keeper was lost; its process is killed", facts);
  const pidfd = sys.pidfdOpen(record.pid);
  try {
    if (record.execId === "")
      await runtime.kill(shim.runtimeOf(task), task.id, SIGKILL, true).catch(() => undefined);
    // Checked after pidfd_open: from here on the pid cannot be reused.
    else if (pidfd !== undefined && shim.isSame(record)) sys.pidfdSignal(pidfd, SIGKILL);
    // Readable once the process has ended: no exit is reported before.
    if (pidfd !== undefined && shim.isSame(record)) await sys.poll(pidfd, linux.POLLIN, KILLED_MS);
  } catch (error) {
    log.warn("a process without a keeper could not be killed", { ...facts, error: String(error) });
  } finally {
    if (pidfd !== undefined) sys.close(pidfd);
  }
  const known = { exitStatus: LOST_STATUS, exitedAt: systemClock.wall(), ooms: record.ooms ?? 0 };
  try {
    sys.replaceFile(shim.folders.exit(record.token), `${known.exitStatus} ${known.exitedAt} ${known.ooms}\n`);
  } catch (error) {
    // The next daemon will find the same: a process that is gone, without an exit.
    log.warn("the end of a process without a keeper could not be written down", {
      ...facts,
      error: String(error),
    });
  }
  return known;
}

/** Waits for a child that is about to exit, before its files are removed. */
export async function reaped(shim: ShimContext, pid: number): Promise<void> {
  const { sys } = shim;
  if (pid === 0) return;
  const until = sys.monotonicMs() + KILLED_MS;
  for (let step = 0.5; sys.reap(pid) === undefined; step = Math.min(2 * step, 50)) {
    if (sys.monotonicMs() > until) return reapLater(sys, pid);
    await sys.sleep(step);
  }
}

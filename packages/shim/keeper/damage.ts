/** Rebuilding of damaged records. */
import { BerthError, log } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { ShimContext } from "./context.ts";
import type { ProcessRecord } from "./folders.ts";

/**
 * Rebuilds the damaged record of a task: the runtime's record has the pid, whose parent is the keeper, which has the token
 * among its arguments. Only the stdio URIs are lost. Throws `damage` if the runtime knows no such container.
 */
export function rebuildRecord(
  shim: ShimContext,
  namespace: string,
  id: string,
  damage: unknown,
): ProcessRecord {
  const { sys, folders } = shim;
  let known: runtime.ContainerRecord;
  try {
    known = runtime.readRecord(sys, folders.runtimeRoot(namespace), id);
  } catch {
    throw damage;
  }
  const noStdio = { stdin: "", stdout: "", stderr: "", terminal: false };
  const record = shim.newRecord("", noStdio);
  const keeper = runtime.isAlive(sys, known) ? runtime.processStat(sys, known.pid)?.parent : undefined;
  const args = keeper === undefined ? [] : (sys.readTextIfAny(`/proc/${keeper}/cmdline`) ?? "").split("\0");
  const token = args[0] === "berth-init" ? /^(.+)\.exit$/.exec(args[2] ?? "")?.[1] : undefined;
  const { message } = BerthError.from(damage);
  log.error(`a task's record was made again from what runs: ${message}`, { namespace, id });
  return { ...record, ...(token === undefined ? {} : { token }), pid: known.pid, startTime: known.startTime };
}

/** A record that cannot be read, rebuilt from what else is known. */
import { BerthError, log } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { ShimContext } from "./context.ts";
import type { ProcessRecord } from "./folders.ts";

/**
 * Makes a task's record again, whose file is damaged: the runtime's own record has the process, and that one's parent is
 * the keeper, which carries its name among its arguments. Only where the output goes is lost. Throws `damage` where the
 * runtime knows no such container.
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
  const nothing = { stdin: "", stdout: "", stderr: "", terminal: false };
  const record = shim.newRecord("", nothing);
  const keeper = runtime.isAlive(sys, known) ? runtime.processStat(sys, known.pid)?.parent : undefined;
  const words = keeper === undefined ? [] : (sys.readTextIfAny(`/proc/${keeper}/cmdline`) ?? "").split("\0");
  const token = words[0] === "berth-init" ? /^(.+)\.exit$/.exec(words[2] ?? "")?.[1] : undefined;
  const { message } = BerthError.from(damage);
  log.error(`a task's record was made again from what runs: ${message}`, { namespace, id });
  return { ...record, ...(token === undefined ? {} : { token }), pid: known.pid, startTime: known.startTime };
}

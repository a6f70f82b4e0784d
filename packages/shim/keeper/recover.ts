/** Takes over the tasks of an earlier daemon; unfinished creates and deletes are undone or finished. */
import { BerthError, isCode, log } from "@berth/base";
import * as runtime from "@berth/runtime";
import { parseRecord } from "../contract/parse-record.ts";
import type { ShimContext, Task } from "./context.ts";
import { rebuildRecord } from "./damage.ts";
import { forgetTask } from "./delete.ts";
import { GONE, type ProcessRecord } from "./folders.ts";
import { follow, recordedExit } from "./follow.ts";
import { KeeperLink } from "./keeper-link.ts";
import { KeeperProcess } from "./keeper-process.ts";
import { killLaunch } from "./orphans.ts";

/** Tasks that are recovered at a time: mostly they wait for their keepers. */
const AT_A_TIME = 32;

/** See {@link TaskShim.recover}. */
export async function recover(shim: ShimContext): Promise<void> {
  const { sys, folders } = shim;
  const found: (() => Promise<void>)[] = [];
  for (const namespace of sys.list(folders.tasks) ?? []) {
    for (const id of sys.list(`${folders.tasks}/${namespace}`) ?? []) {
      found.push(() =>
        (id.startsWith(GONE) ? clear(shim, namespace, id) : recoverTask(shim, namespace, id)).catch(
          (error: unknown) => {
            const { message } = BerthError.from(error);
            log.error(`task ${id} could not be taken over: ${message}`, { namespace });
          },
        ),
      );
    }
  }
  const next = async () => {
    for (let work = found.pop(); work !== undefined; work = found.pop()) await work();
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, next));
}

function readRecord(shim: ShimContext, path: string): ProcessRecord | undefined {
  const content = shim.sys.readTextIfAny(path);
  return content === undefined ? undefined : parseRecord<ProcessRecord>(path, content);
}

/** The record in something that is being removed; a damaged one counts as missing. */
function readRemains(shim: ShimContext, path: string): ProcessRecord | undefined {
  try {
    return readRecord(shim, path);
  } catch (error) {
    if (!isCode(error, "data_loss")) throw error;
    return undefined;
  }
}

/** Finishes the removal of a bundle. */
async function clear(shim: ShimContext, namespace: string, name: string): Promise<void> {
  const { sys, folders } = shim;
  const bundle = `${folders.tasks}/${namespace}/${name}`;
  for (const file of sys.list(bundle) ?? []) {
    if (!/^(task|(\.gone-)?exec-.+)\.json$/.test(file)) continue;
    const record = readRemains(shim, `${bundle}/${file}`);
    if (record !== undefined) folders.forget(sys, record.token);
  }
  sys.removeTree(bundle);
}

/** Finishes the removal of an added process. */
function forgetProcess(shim: ShimContext, path: string): void {
  const record = readRemains(shim, path);
  if (record !== undefined) shim.folders.forget(shim.sys, record.token);
  shim.sys.unlink(path);
}

/** Reads a task from its records; `foreign`: the bundle, if the caller owns it. */
export function readTask(shim: ShimContext, namespace: string, id: string, foreign?: string): Task {
  const { sys, folders } = shim;
  const bundle = foreign ?? folders.bundle(namespace, id);
  let first: ProcessRecord | undefined;
  try {
    first = readRecord(shim, folders.record(bundle, ""));
  } catch (error) {
    if (!isCode(error, "data_loss")) throw error;
    first = rebuildRecord(shim, namespace, id, error);
  }
  const processes = new Map<string, KeeperProcess>();
  if (first !== undefined) processes.set("", new KeeperProcess(first));
  for (const name of sys.list(bundle) ?? []) {
    const execId = /^exec-(.+)\.json$/.exec(name)?.[1];
    if (execId !== undefined) addProcess(shim, processes, execId, `${bundle}/${name}`);
    else if (name.startsWith(`${GONE}exec-`)) forgetProcess(shim, `${bundle}/${name}`);
  }
  return {
    namespace,
    id,
    bundle,
    foreignBundle: foreign !== undefined,
    options: first?.options ?? {},
    processes,
  };
}

/** Adds a process; one with a damaged record is dropped, and ends with the container. */
function addProcess(
  shim: ShimContext,
  processes: Map<string, KeeperProcess>,
  execId: string,
  path: string,
): void {
  try {
    processes.set(execId, new KeeperProcess(readRecord(shim, path)!));
  } catch (error) {
    if (!isCode(error, "data_loss")) throw error;
    log.error(`a process that was added to a container is forgotten: ${BerthError.from(error).message}`);
    shim.sys.unlink(path);
  }
}

async function recoverTask(shim: ShimContext, namespace: string, id: string): Promise<void> {
  const { sys } = shim;
  const task = readTask(shim, namespace, id);
  const record = task.processes.get("")?.record;
  if (record?.pid === 0 && record.checkpoint !== undefined) await undoRestore(shim, task, record);
  else if (record === undefined || record.pid === 0) {
    // The daemon died during the create; nobody has its result.
    log.info("undoing an unfinished create", { namespace, id });
    if (record !== undefined) await killLaunch(shim, record.token);
    await runtime.remove(shim.runtimeOf(task), id, true);
    if (record === undefined) sys.removeTree(task.bundle);
    else forgetTask(shim, task);
    return;
  }
  shim.tasks.set(`${namespace}/${id}`, task);
  for (const process of task.processes.values()) await recoverProcess(shim, task, process);
}

async function recoverProcess(shim: ShimContext, task: Task, process: KeeperProcess): Promise<void> {
  const { record } = process;
  if (record.pid === 0 && record.execId !== "") await recoverLaunch(shim, task, process);
  if (record.pid === 0) return;
  // The daemon died right after the start: the FIFO is gone, and the record was not updated.
  if (record.execId === "" && !record.started && wasStarted(shim, task, record)) {
    record.started = true;
    shim.save(task, record);
  }
  await follow(shim, task, process);
}

function wasStarted(shim: ShimContext, task: Task, record: ProcessRecord): boolean {
  if (recordedExit(shim, record.token) !== undefined) return true;
  try {
    return runtime.inspect(shim.runtimeOf(task), task.id).status === "running";
  } catch (error) {
    // An unfinished delete; the next one completes it.
    if (isCode(error, "not_found")) return true;
    throw error;
  }
}

/** Undoes an unfinished restore, so that it can be started again. */
async function undoRestore(shim: ShimContext, task: Task, record: ProcessRecord): Promise<void> {
  await killLaunch(shim, record.token);
  await runtime.remove(shim.runtimeOf(task), task.id, true);
  shim.folders.forget(shim.sys, record.token);
}

/** The daemon died during the start of an added process: it was launched, or the launch is undone. */
async function recoverLaunch(shim: ShimContext, task: Task, process: KeeperProcess): Promise<void> {
  const { record } = process;
  const link = await KeeperLink.open(shim.sys, shim.folders.socket(record.token));
  const pid = await link?.pid;
  link?.close();
  const ended = recordedExit(shim, record.token);
  if (pid !== undefined || ended !== undefined) {
    shim.setPid(record, pid ?? 1);
    record.started = true;
    shim.save(task, record);
    return;
  }
  await killLaunch(shim, record.token);
  shim.folders.forget(shim.sys, record.token);
}

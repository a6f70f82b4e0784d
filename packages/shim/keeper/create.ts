/** create: makes a task's container, which then waits for start; one from a checkpoint is restored by start. */
import { BerthError, isCode, stage } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { CreateTask } from "../contract/task-shim.ts";
import type { ShimContext, Task } from "./context.ts";
import { checkName } from "./folders.ts";
import { follow, reaped } from "./follow.ts";
import { KeeperProcess } from "./keeper-process.ts";
import { withSettings } from "./launch-settings.ts";
import { canceled } from "./limiter.ts";
import { withLoops } from "./loops.ts";

const text = new TextDecoder();

interface Creating {
  /** The request as JSON: callers with the same one share the result. */
  request: string;
  done: Promise<{ pid: number }>;
  abort: AbortController;
  /** Callers that have not given up. */
  waiting: number;
}

function taken(id: string, path?: string): BerthError {
  return new BerthError("already_exists", `task ${id}: already exists`, {
    stage: "task",
    ...(path === undefined ? {} : { path }),
    hint: "delete the task first",
  });
}

/** Creates in progress. */
export class Creator {
  readonly #shim: ShimContext;
  readonly #running = new Map<string, Creating>();

  constructor(shim: ShimContext) {
    this.#shim = shim;
  }

  /** See {@link TaskShim.create}. */
  async create(request: CreateTask, signal?: AbortSignal): Promise<{ pid: number }> {
    const { namespace, id } = request;
    const key = `${namespace}/${id}`;
    const { spec = new Uint8Array(), ...rest } = request;
    const json = JSON.stringify([text.decode(spec), rest]);
    let creating = this.#running.get(key);
    // The same request again, during the first: both get the result.
    if (creating !== undefined && (creating.request !== json || creating.abort.signal.aborted))
      throw taken(id);
    if (creating === undefined) {
      if (this.#shim.tasks.has(key)) throw taken(id);
      const abort = new AbortController();
      const done = createTask(this.#shim, request, key, abort.signal).finally(() =>
        this.#running.delete(key),
      );
      creating = { request: json, done, abort, waiting: 0 };
      this.#running.set(key, creating);
    }
    return this.#wait(creating, signal);
  }

  /** Waits for a create; when the last caller gives up, it is aborted. */
  async #wait(creating: Creating, signal: AbortSignal | undefined): Promise<{ pid: number }> {
    creating.waiting++;
    const leave = () => {
      if (--creating.waiting === 0) creating.abort.abort(signal!.reason);
    };
    if (signal?.aborted) leave();
    else signal?.addEventListener("abort", leave, { once: true });
    try {
      return await creating.done;
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }
}

async function createTask(
  shim: ShimContext,
  request: CreateTask,
  key: string,
  signal: AbortSignal,
): Promise<{ pid: number }> {
  const { namespace, id, stdio, options = {} } = request;
  checkName("namespace", namespace);
  checkName("container id", id);
  const { sys, folders } = shim;
  const bundle = request.bundle ?? folders.bundle(namespace, id);
  const foreignBundle = request.bundle !== undefined;
  const record = shim.newRecord("", stdio);
  record.options = options;
  if (request.checkpoint !== undefined) {
    record.checkpoint = request.checkpoint;
    record.rootfs = request.rootfs;
  }
  const process = new KeeperProcess(record);
  const task: Task = { namespace, id, bundle, foreignBundle, options, processes: new Map([["", process]]) };
  makeBundle(shim, task, request);
  try {
    shim.save(task, record);
    if (request.spec !== undefined) sys.writeFile(`${bundle}/config.json`, request.spec);
    // A restored container comes into being with start.
    if (request.checkpoint === undefined) {
      await shim.starts.run(signal, () => launchTask(shim, task, process, request));
      shim.save(task, record);
    }
    if (signal.aborted) {
      await stage("undo", { id }, () => runtime.remove(shim.runtimeOf(task), id, true));
      throw canceled(signal);
    }
  } catch (error) {
    // After the exit of its keeper, so that the exit record is removed, too.
    await reaped(shim, process.keeperPid);
    folders.forget(sys, record.token);
    if (foreignBundle) sys.unlink(folders.record(bundle, ""));
    else sys.removeTree(bundle);
    throw error;
  }
  shim.tasks.set(key, task);
  const { pid } = record;
  shim.emit({ topic: "/tasks/create", namespace, id, pid, bundle, stdio, rootfs: request.rootfs });
  if (request.checkpoint === undefined) await follow(shim, task, process);
  return { pid };
}

function makeBundle({ sys, folders }: ShimContext, task: Task, request: CreateTask): void {
  if (request.bundle === undefined) {
    sys.mkdirAll(`${folders.tasks}/${task.namespace}`, 0o700);
    try {
      sys.mkdir(task.bundle, 0o700);
    } catch (error) {
      if (isCode(error, "already_exists")) throw taken(task.id, task.bundle);
      throw error;
    }
  }
  if (sys.stat(`${task.bundle}/rootfs`) === undefined && request.rootfs.length > 0)
    sys.mkdir(`${task.bundle}/rootfs`, 0o700);
}

async function launchTask(
  shim: ShimContext,
  task: Task,
  process: KeeperProcess,
  request: CreateTask,
): Promise<void> {
  const { id, bundle } = task;
  const made = await withSettings(shim, task, process.record, (settings) =>
    stage("runtime create", { id, path: task.bundle }, () =>
      withLoops(shim.sys, request.rootfs, (rootMounts) =>
        runtime.create(shim.runtimeOf(task), {
          ...settings,
          id,
          bundle,
          rootMounts,
          gate: true,
          wait: false,
          noPivot: task.options.noPivotRoot ?? false,
        }),
      ),
    ),
  );
  process.keeperPid = made.initPid;
  process.record.pid = made.pid;
  process.record.startTime = made.record.startTime;
}

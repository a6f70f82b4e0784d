/**
 * The Task service over foreign shims: each container has a shim by containerd's contract, a program that runs beside the
 * daemon and serves ttrpc. States come from its answers, exits from Wait.
 */
import { anyOf, PROCESS_TYPE, RESOURCES_TYPE } from "@berth/api/any";
import { BerthError, CRI_LOG, isCode, log, SIGKILL, systemClock } from "@berth/base";
import type { Sys } from "@berth/sys";
import type { Any } from "@bufbuild/protobuf/wkt";
import { reapLater } from "../contract/reap.ts";
import type { TaskProcess } from "../contract/task-process.ts";
import type {
  CheckpointTask,
  CreateTask,
  ExecTask,
  Exit,
  ProcessRef,
  SandboxShim,
  TaskEvent,
  TaskShim,
  TaskState,
} from "../contract/task-shim.ts";
import { deleteShim, findShim, type ShimAddress, type ShimCall, startShim } from "./binary.ts";
import { ForeignBundles, type ForeignRecord } from "./bundle.ts";
import { checkpointOptions } from "./checkpoint.ts";
import { followLog } from "./log.ts";
import { type ForeignStdio, foreignStdio } from "./stdio.ts";
import { exitOf, ForeignTask } from "./task.ts";

/** Options of {@link ForeignShims}. */
export interface ForeignOptions {
  sys: Sys;
  stateDir: string;
  /** Paths of the daemon's sockets: of its API, and of the one that shims send their events to. */
  address: string;
  ttrpcAddress: string;
  /** Program that publishes an event by the API, for shims that cannot use the socket. */
  publishBinary: string;
}

const SHUTDOWN_MS = 3000;

/** See the module comment. */
export class ForeignShims implements TaskShim {
  readonly #options: ForeignOptions;
  readonly #bundles: ForeignBundles;
  readonly #tasks = new Map<string, ForeignTask>();
  readonly #listeners = new Set<(event: TaskEvent) => void>();

  constructor(options: ForeignOptions) {
    this.#options = options;
    this.#bundles = new ForeignBundles(options.sys, options.stateDir);
  }

  /** Does this container have a foreign shim? */
  has(ref: ProcessRef): boolean {
    return this.#tasks.has(`${ref.namespace}/${ref.id}`);
  }

  onEvent(listener: (event: TaskEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #emit(event: TaskEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  observe(event: TaskEvent): boolean {
    const task = this.#tasks.get(`${event.namespace}/${event.id}`);
    if (task !== undefined && event.topic === "/tasks/exit") {
      const { execId, exitStatus, exitedAt } = event;
      task.processes.get(execId)?.end({ exitStatus, exitedAt });
    }
    return task !== undefined;
  }

  #call(program: string, namespace: string, id: string): ShimCall {
    const { address, ttrpcAddress, publishBinary } = this.#options;
    const bundle = this.#bundles.path(namespace, id);
    return { program, namespace, id, bundle, address, ttrpcAddress, publishBinary };
  }

  #task(ref: ProcessRef): ForeignTask {
    const task = this.#tasks.get(`${ref.namespace}/${ref.id}`);
    if (task === undefined) throw new BerthError("not_found", `task ${ref.id} not found`, { stage: "task" });
    return task;
  }

  #save(task: ForeignTask): void {
    this.#bundles.save(task.call.bundle, task.record);
  }

  async create(request: CreateTask): Promise<{ pid: number }> {
    const { namespace, id, runtime = "", runtimeOptions, sandbox } = request;
    const program = sandbox?.program ?? findShim(this.#options.sys, runtime);
    const record: ForeignRecord = {
      runtime,
      program,
      stdio: request.stdio,
      pid: 0,
      started: false,
      execs: {},
      ...(sandbox === undefined ? {} : { sandbox: sandbox.id }),
    };
    const call = this.#call(program, namespace, id);
    this.#bundles.make(namespace, id, request.spec ?? new Uint8Array(), record);
    const task = new ForeignTask(call, record);
    let streams: ForeignStdio | undefined;
    try {
      streams = foreignStdio(this.#options.sys, call.bundle, request.stdio);
      reapLater(this.#options.sys, streams.logger);
      task.closeLog = followLog(this.#options.sys, call.bundle, id);
      await task.connect(await this.#shimFor(call, sandbox), () => this.#lost(task));
      this.#save(task);
      const { pid } = await task.client.create({
        id,
        bundle: call.bundle,
        rootfs: request.rootfs.map((m) => ({ ...m, target: m.target ?? "", options: [...m.options] })),
        ...streams.stdio,
        checkpoint: request.checkpoint ?? "",
        ...(runtimeOptions === undefined ? {} : { options: runtimeOptions }),
      });
      record.pid = pid;
      task.process().record.pid = pid;
      this.#save(task);
      this.#tasks.set(`${namespace}/${id}`, task);
      task.watch(task.process());
      return { pid };
    } catch (error) {
      await this.#discard(task);
      throw error;
    } finally {
      streams?.release();
    }
  }

  /** A shim of its own, or the sandbox's: that one finds the sandbox's id in the bundle, as containerd writes it. */
  async #shimFor(call: ShimCall, sandbox: SandboxShim | undefined): Promise<ShimAddress> {
    const { sys } = this.#options;
    if (sandbox === undefined) return startShim(sys, call);
    sys.writeFile(`${call.bundle}/sandbox`, sandbox.id);
    return { version: sandbox.version, address: sandbox.address };
  }

  /** Undoes a failed create: ends the shim and removes its files. */
  async #discard(task: ForeignTask): Promise<void> {
    task.leaving = true;
    if (task.record.sandbox !== undefined) {
      if (task.connected) await task.client.delete({ id: task.call.id }).catch(() => undefined);
      task.close();
      return this.#bundles.remove(task.call.bundle);
    }
    await this.#shutdown(task).catch(() => undefined);
    task.close();
    try {
      await deleteShim(this.#options.sys, task.call);
    } catch (error) {
      log.warn("a shim could not clear away", { id: task.call.id, error: BerthError.from(error).message });
    }
    await this.#bundles.remove(task.call.bundle);
  }

  async #shutdown(task: ForeignTask): Promise<void> {
    // A sandbox's shim ends with the sandbox.
    if (task.record.sandbox !== undefined) return;
    try {
      await task.client.shutdown({ id: task.call.id }, { timeoutMs: SHUTDOWN_MS });
    } catch (error) {
      // Most exit before they answer.
      if (!isCode(error, "unavailable") && !isCode(error, "canceled")) throw error;
    }
  }

  /** The shim died: its program kills and removes the container. */
  async #lost(task: ForeignTask): Promise<void> {
    const { namespace, id } = task.call;
    log.warn("a shim was lost; its container is removed", { namespace, id });
    let exit: Exit & { pid: number };
    try {
      exit = await deleteShim(this.#options.sys, task.call);
    } catch (error) {
      log.error("what a lost shim left could not be removed", { id, error: BerthError.from(error).message });
      exit = { pid: task.record.pid, exitStatus: 255, exitedAt: systemClock.wall() };
    }
    for (const process of task.processes.values()) {
      const { execId, pid } = process.record;
      const { exitStatus, exitedAt } = exit;
      if (process.end({ exitStatus, exitedAt }))
        this.#emit({ topic: "/tasks/exit", namespace, id, execId, pid, exitStatus, exitedAt });
    }
  }

  async start(ref: ProcessRef): Promise<{ pid: number }> {
    const task = this.#task(ref);
    const process = task.process(ref.execId);
    const { pid } = await task.client.start({ id: ref.id, execId: ref.execId ?? "" });
    process.record.pid = pid;
    process.record.started = true;
    const kept = ref.execId ? task.record.execs[ref.execId]! : task.record;
    kept.pid = pid;
    kept.started = true;
    this.#save(task);
    if (ref.execId) task.watch(process);
    return { pid };
  }

  async delete(ref: ProcessRef): Promise<Exit & { pid: number }> {
    const task = this.#task(ref);
    const { execId = "" } = ref;
    const process = task.process(execId);
    let answer: Exit & { pid: number } = {
      ...(process.exit ?? { exitStatus: 255, exitedAt: 0n }),
      pid: process.record.pid,
    };
    try {
      const deleted = await task.client.delete({ id: ref.id, execId });
      answer = { ...exitOf(deleted), pid: deleted.pid };
    } catch (error) {
      // A lost shim: deleted already.
      if (!isCode(error, "unavailable") && !isCode(error, "not_found")) throw error;
    }
    if (execId !== "") {
      task.processes.delete(execId);
      delete task.record.execs[execId];
      this.#save(task);
      return answer;
    }
    task.leaving = true;
    await this.#shutdown(task).catch((error: unknown) => {
      log.warn("a shim does not end", { id: ref.id, error: BerthError.from(error).message });
    });
    task.close();
    this.#tasks.delete(`${ref.namespace}/${ref.id}`);
    await this.#bundles.remove(task.call.bundle);
    return answer;
  }

  async exec(request: ExecTask): Promise<void> {
    const task = this.#task(request);
    const { execId, id } = request;
    const { stdio } = request;
    if (stdio.stdout.startsWith(CRI_LOG))
      throw new BerthError(
        "unimplemented",
        "stdout: an added process of another's runtime can have no log of its own",
      );
    await task.client.exec({ id, execId, ...stdio, spec: anyOf(PROCESS_TYPE, request.process) });
    task.record.execs[execId] = { stdio, pid: 0, started: false };
    this.#save(task);
    task.add(execId, stdio, 0, false);
  }

  state(ref: ProcessRef): TaskState {
    return this.#stateOf(this.#task(ref), ref.execId ?? "");
  }

  #stateOf(task: ForeignTask, execId: string): TaskState {
    const process = task.process(execId);
    const { namespace, id, bundle } = task.call;
    const { pid, stdio } = process.record;
    const paused = task.paused && process.status === "running";
    const exit = process.exit ?? { exitStatus: 0, exitedAt: 0n };
    return { namespace, id, execId, pid, bundle, stdio, status: paused ? "paused" : process.status, ...exit };
  }

  list(namespace?: string): TaskState[] {
    const own = [...this.#tasks.values()].filter(
      (task) => namespace === undefined || task.call.namespace === namespace,
    );
    return own.map((task) => this.#stateOf(task, ""));
  }

  async kill(ref: ProcessRef, signal: number, all: boolean): Promise<void> {
    const task = this.#task(ref);
    const process = task.process(ref.execId);
    if (process.status === "stopped" && !all)
      throw new BerthError("not_found", "process already finished", { stage: "kill" });
    await task.client.kill({ id: ref.id, execId: ref.execId ?? "", signal, all });
    // Not every runtime thaws a container for SIGKILL.
    if (signal === SIGKILL && task.paused) await this.resume(ref).catch(() => undefined);
  }

  async checkpoint(ref: ProcessRef, request: CheckpointTask): Promise<void> {
    await this.#task(ref).client.checkpoint({
      id: ref.id,
      path: request.path,
      options: checkpointOptions(request),
    });
  }

  async pause(ref: ProcessRef): Promise<void> {
    const task = this.#task(ref);
    await task.client.pause({ id: ref.id });
    task.paused = true;
  }

  async resume(ref: ProcessRef): Promise<void> {
    const task = this.#task(ref);
    // Shims refuse it with various messages and no code.
    if (!task.paused)
      throw new BerthError("failed_precondition", "container not paused", { stage: "resume" });
    await task.client.resume({ id: ref.id });
    task.paused = false;
  }

  async resizePty(ref: ProcessRef, width: number, height: number): Promise<void> {
    await this.#task(ref).client.resizePty({ id: ref.id, execId: ref.execId ?? "", width, height });
  }

  async closeIO(ref: ProcessRef): Promise<void> {
    await this.#task(ref).client.closeIO({ id: ref.id, execId: ref.execId ?? "", stdin: true });
  }

  async pids(ref: ProcessRef): Promise<{ pid: number; execId?: string }[]> {
    const task = this.#task(ref);
    const { processes } = await task.client.pids({ id: ref.id });
    return processes.map(({ pid }) => {
      const exec = [...task.processes.values()].find((p) => p.record.execId !== "" && p.record.pid === pid);
      return exec === undefined ? { pid } : { pid, execId: exec.record.execId };
    });
  }

  async wait(ref: ProcessRef, signal?: AbortSignal): Promise<Exit> {
    return this.#task(ref).process(ref.execId).wait(signal);
  }

  async update(ref: ProcessRef, resources: Uint8Array): Promise<void> {
    await this.#task(ref).client.update({ id: ref.id, resources: anyOf(RESOURCES_TYPE, resources) });
  }

  async stats(ref: ProcessRef): Promise<Any> {
    const { stats } = await this.#task(ref).client.stats({ id: ref.id });
    if (stats === undefined)
      throw new BerthError("unimplemented", `the shim of task ${ref.id} has no statistics`, {
        stage: "task",
      });
    return stats;
  }

  async recover(): Promise<void> {
    const found = this.#bundles.list();
    await Promise.all(
      found.map(({ namespace, id }) =>
        this.#recoverTask(namespace, id).catch((error: unknown) => {
          log.error(`task ${id} could not be taken over: ${BerthError.from(error).message}`, { namespace });
        }),
      ),
    );
  }

  async #recoverTask(namespace: string, id: string): Promise<void> {
    const bundle = this.#bundles.path(namespace, id);
    const record = this.#bundles.read(bundle);
    if (record === undefined) return this.#bundles.remove(bundle);
    const task = new ForeignTask(this.#call(record.program, namespace, id), record);
    if (record.pid === 0) {
      log.info("undoing an unfinished create", { namespace, id });
      if (record.shim !== undefined) await task.connect(record.shim, () => {}).catch(() => undefined);
      return this.#discard(task);
    }
    this.#tasks.set(`${namespace}/${id}`, task);
    try {
      task.closeLog = followLog(this.#options.sys, bundle, id);
      await task.connect(record.shim!, () => this.#lost(task));
    } catch {
      return this.#lost(task);
    }
    for (const process of task.processes.values()) await this.#recoverProcess(task, process);
  }

  /** Reports what happened while no daemon ran. */
  async #recoverProcess(task: ForeignTask, process: TaskProcess): Promise<void> {
    const { namespace, id } = task.call;
    const { execId } = process.record;
    const state = await task.client.state({ id, execId });
    process.record.pid = state.pid || process.record.pid;
    if (!process.record.started && state.status !== 1) process.record.started = true;
    if (execId === "") task.paused = state.status === 4;
    if (state.status === 3) {
      const exit = exitOf(state);
      process.end(exit);
      this.#emit({ topic: "/tasks/exit", namespace, id, execId, pid: process.record.pid, ...exit });
    } else if (process.record.started || execId === "") task.watch(process);
  }

  async close(): Promise<void> {
    for (const task of this.#tasks.values()) {
      task.leaving = true;
      task.close();
    }
  }
}

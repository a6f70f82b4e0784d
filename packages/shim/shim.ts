/**
 * The Task service, in process: containers by `packages/runtime`, one keeper per process. Whatever a daemon that starts
 * anew must know is in a file before it is done; {@link TaskShim.recover} reads those files.
 */
import { BerthError, isCode, log, stage, systemClock } from "@berth/base";
import * as runtime from "@berth/runtime";
import { realSys, type Sys } from "@berth/sys";
import { checkName, Folders, type ProcessRecord } from "./folders.ts";
import { KeeperLink, parseExit } from "./keeper-link.ts";
import { taskMetrics } from "./metrics.ts";
import { streamsOf } from "./stdio.ts";
import { TaskProcess } from "./task-process.ts";
import type {
  CreateTask,
  ExecTask,
  Exit,
  PackedMessage,
  ProcessRef,
  TaskEvent,
  TaskShim,
  TaskState,
} from "./task-shim.ts";

const SIGKILL = 9;
const LOST_STATUS = 137;
const POLLIN = 1;
/** How long a killed process may take to be gone. */
const KILLED_MS = 5000;
/** How long a process that could not execute may take to end. */
const FAILED_START_MS = 2000;
/** Codes of a failed start that leave the process as it was. */
const STILL_THERE: ReadonlySet<string> = new Set(["failed_precondition", "deadline_exceeded"]);

/** A container with its processes; key "" is the first one. */
interface Task {
  namespace: string;
  id: string;
  bundle: string;
  processes: Map<string, TaskProcess>;
}

/** What a shim needs. */
export interface ShimOptions {
  /** Default: the real machine. */
  sys?: Sys;
  /** Folder that a reboot empties: "/run/berth". */
  stateDir: string;
}

const text = new TextDecoder();

/** See the module comment. */
export function createTaskShim(options: ShimOptions): TaskShim {
  return new InProcessShim(options);
}

class InProcessShim implements TaskShim {
  readonly #sys: Sys;
  readonly #folders: Folders;
  readonly #runtimes = new Map<string, runtime.Runtime>();
  readonly #tasks = new Map<string, Task>();
  readonly #creating = new Map<string, { request: string; done: Promise<{ pid: number }> }>();
  readonly #listeners = new Set<(event: TaskEvent) => void>();
  #null: number | undefined;
  #tokens = 0;

  constructor({ sys = realSys, stateDir }: ShimOptions) {
    this.#sys = sys;
    this.#folders = new Folders(stateDir);
    for (const folder of [stateDir, this.#folders.tasks, this.#folders.keepers]) sys.mkdirAll(folder, 0o711);
  }

  #runtime(namespace: string): runtime.Runtime {
    let found = this.#runtimes.get(namespace);
    if (found === undefined) {
      found = runtime.openRuntime(this.#sys, this.#folders.runtimeRoot(namespace));
      this.#runtimes.set(namespace, found);
    }
    return found;
  }

  /** Name of a keeper's files: unique among daemons of one boot by pid, start time and count. */
  #token(): string {
    return `${this.#sys.pid().toString(36)}-${Math.floor(this.#sys.monotonicMs()).toString(36)}-${(++this.#tokens).toString(36)}`;
  }

  #nothing(): number {
    this.#null ??= this.#sys.open("/dev/null", 2);
    return this.#null;
  }

  #emit(event: TaskEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  onEvent(listener: (event: TaskEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #task(ref: ProcessRef): Task {
    const task = this.#tasks.get(`${ref.namespace}/${ref.id}`);
    if (task === undefined) throw new BerthError("not_found", `task ${ref.id} not found`, { stage: "task" });
    return task;
  }

  #process(ref: ProcessRef): { task: Task; process: TaskProcess } {
    const task = this.#task(ref);
    const process = task.processes.get(ref.execId ?? "");
    if (process === undefined)
      throw new BerthError("not_found", `process ${ref.execId} of task ${ref.id} not found`, {
        stage: "task",
      });
    return { task, process };
  }

  #save(task: Task, record: ProcessRecord): void {
    this.#sys.replaceFile(
      this.#folders.record(task.namespace, task.id, record.execId),
      JSON.stringify(record),
    );
  }

  /** How a keeper is told to hold a process. */
  #attachment(record: ProcessRecord): runtime.Attachment {
    const { keepers } = this.#folders;
    return {
      kind: "keeper",
      keeper: {
        folder: keepers,
        exitName: this.#folders.exitName(record.token),
        socket: this.#folders.socket(record.token),
        streams: streamsOf(record.stdio),
      },
    };
  }

  #launchSettings(record: ProcessRecord) {
    const none = this.#nothing();
    return {
      attachment: this.#attachment(record),
      stdio: [none, none, none] as const,
      inherited: [],
      preserved: [],
      noNewKeyring: false,
    };
  }

  /** Listens to a process's keeper from now on. */
  async #follow(task: Task, process: TaskProcess): Promise<void> {
    const { token } = process.record;
    const link = await KeeperLink.open(this.#folders.socket(token));
    process.link = link;
    // Not waited for: the end of a process that is still being started is told only after the start.
    if (link === undefined) void this.#ended(task, process, this.#recordedExit(token));
    else void link.ended.then((exit) => this.#ended(task, process, exit ?? this.#recordedExit(token)));
  }

  #recordedExit(token: string): Exit | undefined {
    const content = this.#sys.readTextIfAny(this.#folders.exit(token));
    return content === undefined ? undefined : parseExit(content);
  }

  async #ended(task: Task, process: TaskProcess, exit: Exit | undefined): Promise<void> {
    await process.starting?.catch(() => undefined);
    this.#reapLater(process.keeperPid);
    let known = exit;
    if (known === undefined) {
      if (this.#closed) return;
      // The keeper was killed: with it went the streams and the exit code. What it kept must not run on unseen.
      log.warn("a keeper was lost; its process is killed", {
        task: task.id,
        exec: process.record.execId,
        pid: process.record.pid,
      });
      const pidfd = this.#sys.pidfdOpen(process.record.pid);
      if (process.record.execId === "")
        await runtime.kill(this.#runtime(task.namespace), task.id, SIGKILL, true).catch(() => undefined);
      else this.#sys.kill(process.record.pid, SIGKILL);
      if (pidfd !== undefined) {
        // Ready to be read once the process has ended: an exit is not told of what still runs.
        await this.#sys.poll(pidfd, POLLIN, KILLED_MS).catch(() => undefined);
        this.#sys.close(pidfd);
      }
      known = { exitStatus: LOST_STATUS, exitedAt: systemClock.wall() };
      this.#sys.writeFile(
        this.#folders.exit(process.record.token),
        `${known.exitStatus} ${known.exitedAt}\n`,
      );
    }
    if (!process.end(known)) return;
    const { execId, pid } = process.record;
    this.#emit({ topic: "/tasks/exit", namespace: task.namespace, id: task.id, execId, pid, ...known });
  }

  #closed = false;

  /** berth-init is our child until it ends; then it wants to be waited for. */
  #reapLater(pid: number, attempt = 0): void {
    if (pid === 0 || this.#sys.reap(pid) !== undefined || attempt > 10) return;
    setTimeout(() => this.#reapLater(pid, attempt + 1), 2 ** attempt).unref();
  }

  create(request: CreateTask): Promise<{ pid: number }> {
    const key = `${request.namespace}/${request.id}`;
    const words = JSON.stringify([text.decode(request.spec), request.rootfs, request.stdio]);
    const running = this.#creating.get(key);
    // The same request once more, while the first is at work: both get its result.
    if (running?.request === words) return running.done;
    if (running !== undefined || this.#tasks.has(key)) {
      return Promise.reject(
        new BerthError("already_exists", `task ${request.id}: already exists`, {
          stage: "task",
          hint: "delete the task first",
        }),
      );
    }
    const done = this.#create(request, key).finally(() => this.#creating.delete(key));
    this.#creating.set(key, { request: words, done });
    return done;
  }

  async #create(request: CreateTask, key: string): Promise<{ pid: number }> {
    const { namespace, id, stdio } = request;
    checkName("namespace", namespace);
    checkName("container id", id);
    const sys = this.#sys;
    const bundle = this.#folders.bundle(namespace, id);
    const record: ProcessRecord = { execId: "", stdio, token: this.#token(), pid: 0, started: false };
    const task: Task = { namespace, id, bundle, processes: new Map() };
    const process = new TaskProcess(record);
    task.processes.set("", process);
    const settings = this.#launchSettings(record);
    sys.mkdirAll(`${this.#folders.tasks}/${namespace}`, 0o711);
    try {
      sys.mkdir(bundle, 0o711);
    } catch (error) {
      if (isCode(error, "already_exists"))
        throw new BerthError("already_exists", `task ${id}: already exists`, { stage: "task", path: bundle });
      throw error;
    }
    try {
      this.#save(task, record);
      sys.mkdir(`${bundle}/rootfs`, 0o711);
      sys.writeFile(`${bundle}/config.json`, request.spec);
      const made = await stage("runtime create", { id }, () =>
        runtime.create(this.#runtime(namespace), {
          ...settings,
          id,
          bundle,
          rootMounts: request.rootfs,
          gate: true,
          wait: false,
          noPivot: false,
        }),
      );
      record.pid = made.pid;
      process.keeperPid = made.initPid;
      this.#save(task, record);
    } catch (error) {
      this.#folders.forget(sys, record.token);
      sys.removeTree(bundle);
      throw error;
    }
    this.#tasks.set(key, task);
    this.#emit({
      topic: "/tasks/create",
      namespace,
      id,
      pid: record.pid,
      bundle,
      stdio,
      rootfs: request.rootfs,
    });
    await this.#follow(task, process);
    return { pid: record.pid };
  }

  async start(ref: ProcessRef): Promise<{ pid: number }> {
    const { task, process } = this.#process(ref);
    const { record } = process;
    if (process.status === "stopped") {
      throw new BerthError("failed_precondition", "cannot start a container that has stopped", {
        stage: "start",
      });
    }
    if (record.started || process.starting !== undefined) {
      throw new BerthError("failed_precondition", "cannot start an already running container", {
        stage: "start",
      });
    }
    const begun = record.execId === "" ? this.#startInit(task, process) : this.#startExec(task, process);
    process.starting = begun;
    try {
      await begun;
    } catch (error) {
      process.starting = undefined;
      // A client deletes next, and only what has ended: a process that could not execute is about to.
      if (!STILL_THERE.has(BerthError.from(error).code))
        await process.wait(AbortSignal.timeout(FAILED_START_MS)).catch(() => undefined);
      throw error;
    } finally {
      process.starting = undefined;
    }
    return { pid: record.pid };
  }

  async #startInit(task: Task, process: TaskProcess): Promise<void> {
    const { namespace, id } = task;
    await stage("runtime start", { id }, () => runtime.start(this.#runtime(namespace), id));
    process.record.started = true;
    this.#save(task, process.record);
    this.#emit({ topic: "/tasks/start", namespace, id, pid: process.record.pid });
  }

  async #startExec(task: Task, process: TaskProcess): Promise<void> {
    const { namespace, id } = task;
    const { record } = process;
    try {
      const launched = await stage("runtime exec", { id, exec: record.execId }, async () => {
        const made = await runtime.exec(this.#runtime(namespace), {
          ...this.#launchSettings(record),
          id,
          process: JSON.parse(record.process ?? "{}"),
          wait: false,
          ignorePaused: false,
        });
        process.keeperPid = made.initPid;
        await made.exit();
        return made;
      });
      record.pid = launched.pid;
      record.started = true;
      this.#save(task, record);
      this.#emit({ topic: "/tasks/exec-started", namespace, id, execId: record.execId, pid: record.pid });
      await this.#follow(task, process);
    } catch (error) {
      this.#reapLater(process.keeperPid);
      this.#folders.forget(this.#sys, record.token);
      process.end({ exitStatus: exitStatusOf(error), exitedAt: systemClock.wall() });
      throw error;
    }
  }

  async exec(request: ExecTask): Promise<void> {
    const task = this.#task(request);
    const { execId, stdio } = request;
    checkName("exec id", execId);
    if (task.processes.has(execId))
      throw new BerthError("already_exists", `id ${execId}: already exists`, { stage: "exec" });
    if (task.processes.get("")?.status === "stopped") {
      throw new BerthError("failed_precondition", "cannot exec in a stopped container", { stage: "exec" });
    }
    streamsOf(stdio);
    const record: ProcessRecord = {
      execId,
      stdio,
      token: this.#token(),
      pid: 0,
      started: false,
      process: text.decode(request.process),
    };
    this.#save(task, record);
    task.processes.set(execId, new TaskProcess(record));
    this.#emit({ topic: "/tasks/exec-added", namespace: task.namespace, id: task.id, execId });
  }

  async delete(ref: ProcessRef): Promise<Exit & { pid: number }> {
    const { task, process } = this.#process(ref);
    const { namespace, id } = task;
    const { record } = process;
    if (process.status === "running" || process.starting !== undefined) {
      throw new BerthError(
        "failed_precondition",
        `${record.execId === "" ? `task ${id}` : `process ${record.execId}`} must be stopped before deletion: running`,
        { stage: "delete", hint: "kill it and wait for its end" },
      );
    }
    if (record.execId === "") {
      await runtime.remove(this.#runtime(namespace), id, true);
      if (process.status === "created") await process.wait();
    }
    const exit = process.exit ?? { exitStatus: 0, exitedAt: 0n };
    process.link?.close();
    this.#folders.forget(this.#sys, record.token);
    if (record.execId === "") {
      for (const other of task.processes.values()) this.#folders.forget(this.#sys, other.record.token);
      this.#sys.removeTree(task.bundle);
      this.#tasks.delete(`${namespace}/${id}`);
    } else {
      this.#sys.unlink(this.#folders.record(namespace, id, record.execId));
      task.processes.delete(record.execId);
    }
    this.#emit({ topic: "/tasks/delete", namespace, id, execId: record.execId, pid: record.pid, ...exit });
    return { ...exit, pid: record.pid };
  }

  #stateOf(task: Task, process: TaskProcess): TaskState {
    const { record } = process;
    let status: TaskState["status"] = process.status;
    if (status === "running" && record.execId === "") {
      const info = runtime.inspect(this.#runtime(task.namespace), task.id);
      if (info.status === "paused") status = "paused";
    }
    const exit = process.exit ?? { exitStatus: 0, exitedAt: 0n };
    return {
      namespace: task.namespace,
      id: task.id,
      execId: record.execId,
      pid: record.pid,
      status,
      bundle: task.bundle,
      stdio: record.stdio,
      ...exit,
    };
  }

  state(ref: ProcessRef): TaskState {
    const { task, process } = this.#process(ref);
    return this.#stateOf(task, process);
  }

  list(namespace: string): TaskState[] {
    const own = [...this.#tasks.values()].filter((t) => t.namespace === namespace);
    return own.map((task) => this.#stateOf(task, task.processes.get("")!));
  }

  async kill(ref: ProcessRef, signal: number, all: boolean): Promise<void> {
    const { task, process } = this.#process(ref);
    const { record } = process;
    if (process.status === "stopped" && !all)
      throw new BerthError("not_found", "process already finished", { stage: "kill" });
    if (record.execId !== "") {
      if (record.pid === 0)
        throw new BerthError("failed_precondition", "process not created", { stage: "kill" });
      if (!this.#sys.kill(record.pid, signal))
        throw new BerthError("not_found", "process already finished", { stage: "kill" });
      return;
    }
    await runtime.kill(this.#runtime(task.namespace), task.id, signal, all).catch((error: unknown) => {
      // containerd's word for it: a client that stops a container twice relies on "not found".
      if (isCode(error, "failed_precondition"))
        throw new BerthError("not_found", "process already finished", { stage: "kill", cause: error });
      throw error;
    });
  }

  async pause(ref: ProcessRef): Promise<void> {
    const { namespace, id } = this.#task(ref);
    await runtime.pause(this.#runtime(namespace), id);
    this.#emit({ topic: "/tasks/paused", namespace, id });
  }

  async resume(ref: ProcessRef): Promise<void> {
    const { namespace, id } = this.#task(ref);
    await runtime.resume(this.#runtime(namespace), id);
    this.#emit({ topic: "/tasks/resumed", namespace, id });
  }

  async resizePty(ref: ProcessRef, width: number, height: number): Promise<void> {
    const { process } = this.#process(ref);
    if (!process.record.stdio.terminal)
      throw new BerthError("failed_precondition", "the process has no terminal", { stage: "resize" });
    await process.link?.command(`RESIZE ${width & 0xffff} ${height & 0xffff}`);
  }

  async closeIO(ref: ProcessRef): Promise<void> {
    const { process } = this.#process(ref);
    await process.link?.command("CLOSE_STDIN");
  }

  async pids(ref: ProcessRef): Promise<{ pid: number; execId?: string }[]> {
    const task = this.#task(ref);
    const execs = new Map(
      [...task.processes.values()]
        .filter((p) => p.record.execId !== "")
        .map((p) => [p.record.pid, p.record.execId]),
    );
    return runtime.pids(this.#runtime(task.namespace), task.id).map((pid) => {
      const execId = execs.get(pid);
      return execId === undefined ? { pid } : { pid, execId };
    });
  }

  async wait(ref: ProcessRef, signal?: AbortSignal): Promise<Exit> {
    return this.#process(ref).process.wait(signal);
  }

  async update(ref: ProcessRef, resources: Uint8Array): Promise<void> {
    const { namespace, id } = this.#task(ref);
    await runtime.update(this.#runtime(namespace), id, text.decode(resources));
  }

  async stats(ref: ProcessRef): Promise<PackedMessage> {
    const { namespace, id } = this.#task(ref);
    const { record } = runtime.inspect(this.#runtime(namespace), id);
    return taskMetrics(this.#sys, record.cgroup);
  }

  async recover(): Promise<void> {
    const sys = this.#sys;
    for (const namespace of sys.list(this.#folders.tasks) ?? []) {
      for (const id of sys.list(`${this.#folders.tasks}/${namespace}`) ?? []) {
        await this.#recoverTask(namespace, id).catch((error: unknown) => {
          log.error(`task ${id} could not be taken over: ${BerthError.from(error).message}`, { namespace });
        });
      }
    }
  }

  async #recoverTask(namespace: string, id: string): Promise<void> {
    const sys = this.#sys;
    const bundle = this.#folders.bundle(namespace, id);
    const content = sys.readTextIfAny(this.#folders.record(namespace, id, ""));
    const record = content === undefined ? undefined : (JSON.parse(content) as ProcessRecord);
    if (record === undefined || record.pid === 0) {
      // A create that a crash cut short: nobody has its result, so it is undone.
      log.info("undoing an unfinished create", { namespace, id });
      await runtime.remove(this.#runtime(namespace), id, true);
      if (record !== undefined) this.#folders.forget(sys, record.token);
      sys.removeTree(bundle);
      return;
    }
    const task: Task = { namespace, id, bundle, processes: new Map([["", new TaskProcess(record)]]) };
    for (const name of sys.list(bundle) ?? []) {
      const execId = /^exec-(.+)\.json$/.exec(name)?.[1];
      if (execId === undefined) continue;
      const added = JSON.parse(sys.readText(`${bundle}/${name}`)) as ProcessRecord;
      task.processes.set(execId, new TaskProcess(added));
    }
    this.#tasks.set(`${namespace}/${id}`, task);
    for (const process of task.processes.values()) {
      if (process.record.pid === 0) continue;
      // A start that went through just before the crash: the gate is gone, the file does not say so yet.
      if (
        process.record.execId === "" &&
        !process.record.started &&
        runtime.inspect(this.#runtime(namespace), id).status === "running"
      ) {
        process.record.started = true;
        this.#save(task, process.record);
      }
      await this.#follow(task, process);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const task of this.#tasks.values())
      for (const process of task.processes.values()) process.link?.close();
    if (this.#null !== undefined) this.#sys.close(this.#null);
    this.#null = undefined;
  }
}

/** Exit status of a process that could not be started, by docker's table: 127 not found, 126 not executable. */
function exitStatusOf(error: unknown): number {
  const { code } = BerthError.from(error);
  return code === "not_found" ? 127 : 126;
}

/** State shared by the shim's verbs: the machine, the tasks, the listeners. */
import { BerthError } from "@berth/base";
import * as runtime from "@berth/runtime";
import type { Sys } from "@berth/sys";
import type { ProcessRef, TaskEvent, TaskOptions } from "../contract/task-shim.ts";
import type { Folders, ProcessRecord } from "./folders.ts";
import type { KeeperProcess } from "./keeper-process.ts";
import { Limiter } from "./limiter.ts";

/** A container with its processes by exec id; "" is the init process. */
export interface Task {
  namespace: string;
  id: string;
  bundle: string;
  /** The caller owns and removes the bundle. */
  foreignBundle: boolean;
  options: TaskOptions;
  processes: Map<string, KeeperProcess>;
  /** The container's cgroup, cached. */
  cgroup?: runtime.CgroupPaths;
}

/** See the module comment. */
export class ShimContext {
  readonly sys: Sys;
  readonly folders: Folders;
  readonly tasks = new Map<string, Task>();
  /** Limits concurrent creates and starts. */
  readonly starts: Limiter;
  /** A keeper whose connection closes is no longer taken for lost. */
  closed = false;
  readonly #runtimes = new Map<string, runtime.Runtime>();
  readonly #listeners = new Set<(event: TaskEvent) => void>();
  #bootId: string | undefined;
  #null: number | undefined;
  #tokens = 0;

  constructor(sys: Sys, folders: Folders, startWorkers: number) {
    this.sys = sys;
    this.folders = folders;
    this.starts = new Limiter(startWorkers);
  }

  /** The runtime with the records and options of a task. */
  runtimeOf(task: Task): runtime.Runtime {
    const { root, systemdCgroup = false } = task.options;
    const folder = root ? `${root}/${task.namespace}` : this.folders.runtimeRoot(task.namespace);
    const key = `${systemdCgroup}:${folder}`;
    let found = this.#runtimes.get(key);
    if (found === undefined) {
      found = runtime.openRuntime(this.sys, folder, { systemd: systemdCgroup, shared: root !== undefined });
      this.#runtimes.set(key, found);
    }
    return found;
  }

  /** Base name of a keeper's files, unique within a boot: pid, time and count. */
  token(): string {
    return `${this.sys.pid().toString(36)}-${Math.floor(this.sys.monotonicMs()).toString(36)}-${(++this.#tokens).toString(36)}`;
  }

  /** This boot's id: pids and start times of another one mean nothing. */
  bootId(): string {
    this.#bootId ??= this.sys.readText("/proc/sys/kernel/random/boot_id").trim();
    return this.#bootId;
  }

  /** A descriptor of /dev/null. */
  devNull(): number {
    this.#null ??= this.sys.open("/dev/null", 2);
    return this.#null;
  }

  emit(event: TaskEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  listen(listener: (event: TaskEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  task(ref: ProcessRef): Task {
    const task = this.tasks.get(`${ref.namespace}/${ref.id}`);
    if (task === undefined) throw new BerthError("not_found", `task ${ref.id} not found`, { stage: "task" });
    return task;
  }

  process(ref: ProcessRef): { task: Task; process: KeeperProcess } {
    const task = this.task(ref);
    const process = task.processes.get(ref.execId ?? "");
    if (process === undefined)
      throw new BerthError("not_found", `process ${ref.execId} of task ${ref.id} not found`, {
        stage: "task",
      });
    return { task, process };
  }

  /** Writes the record of a process. */
  save(task: Task, record: ProcessRecord): void {
    this.sys.replaceFile(this.folders.record(task.bundle, record.execId), JSON.stringify(record));
  }

  /** The record of a process that does not exist yet. */
  newRecord(execId: string, stdio: ProcessRecord["stdio"]): ProcessRecord {
    return { execId, stdio, token: this.token(), pid: 0, started: false, bootId: this.bootId() };
  }

  /** Sets the pid of a process, and the start time that guards against its reuse. */
  setPid(record: ProcessRecord, pid: number): void {
    record.pid = pid;
    record.startTime = runtime.processStat(this.sys, pid)?.startTime ?? 0;
  }

  /** Does the pid still belong to this process? */
  isSame(record: ProcessRecord): boolean {
    if (record.bootId !== undefined && record.bootId !== this.bootId()) return false;
    const stat = runtime.processStat(this.sys, record.pid);
    return stat !== undefined && (record.startTime === undefined || stat.startTime === record.startTime);
  }

  close(): void {
    this.closed = true;
    for (const task of this.tasks.values())
      for (const process of task.processes.values()) process.link?.close();
    if (this.#null !== undefined) this.sys.close(this.#null);
    this.#null = undefined;
  }
}

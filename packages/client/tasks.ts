/** Tasks: the running side of containers, and additional processes in them. */

import { PROCESS_TYPE, packJson, RESOURCES_TYPE } from "@berth/api/any";
import * as api from "@berth/api/tasks";
import { dateOf } from "@berth/api/time";
import { isCode } from "@berth/base";
import type { Connection } from "@berth/grpc/client";
import { type Process, type Resources, stringifyJson } from "@berth/oci";
import type { CallOptions } from "@berth/rpc";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { ExitStatus } from "./exit.ts";

/** Targets of a process's streams: "" (discard), a FIFO's path, file:// or cri-log:// URIs. */
export interface TaskIO {
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
}

/** A process's status. */
export type ProcessStatus = "unknown" | "created" | "running" | "stopped" | "paused" | "pausing";
const STATUSES: readonly ProcessStatus[] = ["unknown", "created", "running", "stopped", "paused", "pausing"];

// A restarted (or crashed) daemon is back soon.
const DAEMON_RESTART_MS = 60_000;
const DAEMON_POLL_MS = 200;

/** State of a process. */
export interface ProcessState {
  containerId: string;
  pid: number;
  status: ProcessStatus;
  exitStatus: number;
  exitedAt: Date | undefined;
  io: TaskIO;
}

/** One process of a container: the task's own, or an additional one. */
export class TaskProcess {
  readonly #connection: Connection;
  readonly containerId: string;
  /** "" for the container's own process. */
  readonly execId: string;

  constructor(connection: Connection, containerId: string, execId: string) {
    this.#connection = connection;
    this.containerId = containerId;
    this.execId = execId;
  }

  protected get service() {
    return serviceOf(this.#connection);
  }

  protected get ref(): { containerId: string; execId: string } {
    return { containerId: this.containerId, execId: this.execId };
  }

  /** Starts the process; returns its pid. */
  async start(options?: CallOptions): Promise<number> {
    return (await this.service.start(this.ref, options)).pid;
  }

  /** Sends a signal, with `all` to every process of the container. "not_found" when it has ended. */
  async kill(signal: number, options: CallOptions & { all?: boolean } = {}): Promise<void> {
    await this.service.kill({ ...this.ref, signal, all: options.all ?? false }, options);
  }

  /** Waits for the process to exit; returns at once if it has. */
  async wait(options?: CallOptions): Promise<ExitStatus> {
    const { exitStatus, exitedAt } = await this.service.wait(this.ref, options);
    return { code: exitStatus, exitedAt: dateOf(exitedAt) };
  }

  /** Like {@link wait}, but survives a restart of the daemon, during which containers keep running. */
  async waitForEnd(options?: CallOptions): Promise<ExitStatus> {
    let lostAt = 0;
    for (;;)
      try {
        return await this.wait(options);
      } catch (error) {
        if (!isCode(error, "unavailable")) throw error;
        lostAt ||= performance.now();
        if (performance.now() - lostAt > DAEMON_RESTART_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, DAEMON_POLL_MS));
      }
  }

  /** State of the process. */
  async state(options?: CallOptions): Promise<ProcessState> {
    return stateOf((await this.service.get(this.ref, options)).process!);
  }

  /** Sets the terminal's size, in characters. */
  async resize(width: number, height: number, options?: CallOptions): Promise<void> {
    await this.service.resizePty({ ...this.ref, width, height }, options);
  }

  /**
   * Closes the daemon's end of stdin, so that the process reaches end of file once the client has closed its end,
   * too.
   */
  async closeStdin(options?: CallOptions): Promise<void> {
    await this.service.closeIO({ ...this.ref, stdin: true }, options);
  }

  /** Removes an exited process. */
  async delete(options?: CallOptions): Promise<ExitStatus> {
    const { exitStatus, exitedAt } = await this.service.deleteProcess(this.ref, options);
    return { code: exitStatus, exitedAt: dateOf(exitedAt) };
  }
}

/** A container's task. */
export class Task extends TaskProcess {
  readonly pid: number;
  readonly #connection: Connection;

  constructor(connection: Connection, containerId: string, pid: number) {
    super(connection, containerId, "");
    this.#connection = connection;
    this.pid = pid;
  }

  /** Removes the exited task; "failed_precondition" while it runs. */
  override async delete(options?: CallOptions): Promise<ExitStatus> {
    const { exitStatus, exitedAt } = await this.service.delete({ containerId: this.containerId }, options);
    return { code: exitStatus, exitedAt: dateOf(exitedAt) };
  }

  /** Adds a process, which waits for its `start`. */
  async exec(execId: string, process: Process, io: TaskIO, options?: CallOptions): Promise<TaskProcess> {
    await this.service.exec(
      { containerId: this.containerId, execId, ...io, spec: packJson(PROCESS_TYPE, stringifyJson(process)) },
      options,
    );
    return new TaskProcess(this.#connection, this.containerId, execId);
  }

  /** A handle for an additional process, without asking the daemon. */
  process(execId: string): TaskProcess {
    return new TaskProcess(this.#connection, this.containerId, execId);
  }

  async pause(options?: CallOptions): Promise<void> {
    await this.service.pause({ containerId: this.containerId }, options);
  }

  async resume(options?: CallOptions): Promise<void> {
    await this.service.resume({ containerId: this.containerId }, options);
  }

  /** Host pids of all processes in the container. */
  async pids(options?: CallOptions): Promise<number[]> {
    const { processes } = await this.service.listPids({ containerId: this.containerId }, options);
    return processes.map((found) => found.pid);
  }

  /** cgroup statistics, still packed: io.containerd.cgroups.v1.Metrics or v2.Metrics. */
  async metrics(options?: CallOptions): Promise<Any | undefined> {
    const { metrics } = await this.service.metrics({ filters: [`id==${this.containerId}`] }, options);
    return metrics.find((metric) => metric.id === this.containerId)?.data;
  }

  /** Updates the task's resource limits. */
  async update(resources: Resources, options?: CallOptions): Promise<void> {
    await this.service.update(
      { containerId: this.containerId, resources: packJson(RESOURCES_TYPE, stringifyJson(resources)) },
      options,
    );
  }
}

/** The Tasks service. */
export class Tasks {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The service's generated client. */
  get raw() {
    return serviceOf(this.#connection);
  }

  /** Creates a container's task; the daemon mounts its snapshot. */
  async create(containerId: string, io: TaskIO, options?: CallOptions): Promise<Task> {
    const { pid } = await this.raw.create({ containerId, ...io }, options);
    return new Task(this.#connection, containerId, pid);
  }

  /** A container's task; "not_found" if there is none. */
  async get(containerId: string, options?: CallOptions): Promise<Task> {
    const { process } = await this.raw.get({ containerId }, options);
    return new Task(this.#connection, containerId, process!.pid);
  }

  /** State of a container's task; "not_found" if there is none. */
  async state(containerId: string, options?: CallOptions): Promise<ProcessState> {
    return stateOf((await this.raw.get({ containerId }, options)).process!);
  }

  /** State of all tasks of the namespace. */
  async list(options?: CallOptions): Promise<ProcessState[]> {
    return (await this.raw.list({}, options)).tasks.map(stateOf);
  }
}

function serviceOf(connection: Connection) {
  return connection.client(api.Tasks);
}

type WireProcess = NonNullable<Awaited<ReturnType<ReturnType<typeof serviceOf>["get"]>>["process"]>;

function stateOf(process: WireProcess): ProcessState {
  return {
    // Only newer versions of containerd fill in container_id for tasks; in older ones, id is the task's id.
    containerId: process.containerId || process.id,
    pid: process.pid,
    status: STATUSES[process.status] ?? "unknown",
    exitStatus: process.exitStatus,
    exitedAt: dateOf(process.exitedAt),
    io: {
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      terminal: process.terminal,
    },
  };
}

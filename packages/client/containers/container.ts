/** A container: a record kept by the daemon; a task is its running process. */
import { existsSync } from "node:fs";
import { packJson, SPEC_TYPE } from "@berth/api/any";
import * as api from "@berth/api/containers";
import { LABEL } from "@berth/api/labels";
import { dateOf } from "@berth/api/time";
import { BerthError, ignoreMissing, isCode, present } from "@berth/base";
import type { Connection } from "@berth/grpc/client";
import { parseJson, type Spec, stringifyJson } from "@berth/oci";
import type { CallOptions } from "@berth/rpc";
import type { LogEntry } from "../logs/cri.ts";
import type { ReadLogOptions } from "../logs/read-log.ts";
import { type ProcessState, type Task, type TaskIO, Tasks } from "../tasks.ts";

/** What to read of a container's log. */
export interface LogOptions extends Omit<ReadLogOptions, "ended"> {
  /** Wait for further entries. Default: false. */
  follow?: boolean;
}

/** How often a container that is followed is asked for its first task, in milliseconds. */
const TASK_POLL_MS = 500;

/** How to stop a container; omitted options come from the container. */
export interface StopOptions {
  /** Grace period in seconds; negative means no limit. */
  seconds?: number;
  signal?: number;
}

const stopRequest = ({ seconds, signal }: StopOptions) => ({
  ...present({ timeoutSeconds: seconds }),
  signal: signal ?? 0,
});

/** A container record. */
export class Container {
  readonly #connection: Connection;
  readonly #record: api.Container;

  constructor(connection: Connection, record: api.Container) {
    this.#connection = connection;
    this.#record = record;
  }

  get id(): string {
    return this.#record.id;
  }
  /** Its name, or the short form of its id if it has none. */
  get name(): string {
    return this.labels[LABEL.name] ?? this.id.slice(0, 12);
  }
  get labels(): Readonly<Record<string, string>> {
    return this.#record.labels;
  }
  /** Name of the image it was created from; "" if there is none. */
  get image(): string {
    return this.#record.image;
  }
  get snapshotter(): string {
    return this.#record.snapshotter;
  }
  get snapshotKey(): string {
    return this.#record.snapshotKey;
  }
  get runtime(): string {
    return this.#record.runtime?.name ?? "";
  }
  get createdAt(): Date | undefined {
    return dateOf(this.#record.createdAt);
  }
  get updatedAt(): Date | undefined {
    return dateOf(this.#record.updatedAt);
  }

  /** The runtime spec it was created with. */
  spec(): Spec {
    const text = new TextDecoder().decode(this.#record.spec?.value ?? new Uint8Array());
    return parseJson(text, `spec of container ${this.id}`) as Spec;
  }

  /** Creates a task: the container is set up but its process waits for `start`. */
  async newTask(io: TaskIO, options?: CallOptions): Promise<Task> {
    return new Tasks(this.#connection).create(this.id, io, options);
  }

  /**
   * Creates a task and starts it; `beforeStart` is called in between, for instance to connect a terminal. A task that
   * fails to start is removed, unless another client has started it meanwhile: then that one is returned.
   */
  async startTask(io: TaskIO, beforeStart?: (task: Task) => unknown, options?: CallOptions): Promise<Task> {
    const task = await this.newTask(io, options);
    try {
      await beforeStart?.(task);
      await task.start(options);
    } catch (error) {
      const status = (await this.taskState().catch(() => undefined))?.status;
      if (isCode(error, "failed_precondition") && status === "running") return task;
      await ignoreMissing(task.delete()).catch(() => {});
      throw error;
    }
    return task;
  }

  /**
   * The entries of the container's log, oldest first. With `follow` until its task ends (the first one, if it was not started
   * yet). "not_found" if it has no log: only containers made by berth's clients do. The log is read from this machine's files.
   *
   * @example for await (const { stream, text } of container.logs({ follow: true })) console.log(stream, text);
   */
  async *logs(options: LogOptions = {}): AsyncGenerator<LogEntry> {
    for await (const batch of this.logBatches(options)) yield* batch;
  }

  /** As {@link logs}, many entries at a time, for large logs. */
  async *logBatches({ follow = false, ...options }: LogOptions = {}): AsyncGenerator<LogEntry[]> {
    const path = this.labels[LABEL.logPath];
    if (path === undefined)
      throw new BerthError("not_found", `container ${this.name} has no log`, {
        hint: "Only containers that berth made have one.",
      });
    const { readLogBatches } = await import("../logs/read-log.ts");
    // Ends the calls that wait for the task, however reading ends.
    const done = new AbortController();
    try {
      // In this order: a log that appears later belongs to a task that is still to come. And before anything is read, as
      // the daemon may restart from then on.
      const hasLog = existsSync(path);
      const ended = follow ? this.#ended(await this.task(), hasLog, done.signal) : undefined;
      yield* readLogBatches(path, { ...options, ...present({ ended }) });
    } finally {
      done.abort();
    }
  }

  /** Resolves when the log is complete: its task has ended, or the first one, if there was none yet. */
  async #ended(task: Task | undefined, hasLog: boolean, signal: AbortSignal): Promise<void> {
    let found = task;
    while (found === undefined && !hasLog && !signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, TASK_POLL_MS));
      found = await this.task({ signal }).catch(() => undefined);
    }
    await found?.waitForEnd({ signal }).catch(() => {});
  }

  /** The container's task; undefined when there is none. */
  async task(options?: CallOptions): Promise<Task | undefined> {
    try {
      return await new Tasks(this.#connection).get(this.id, options);
    } catch (error) {
      if (isCode(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** State of the container's task; undefined when there is none. */
  async taskState(options?: CallOptions): Promise<ProcessState | undefined> {
    try {
      return await new Tasks(this.#connection).state(this.id, options);
    } catch (error) {
      if (isCode(error, "not_found")) return undefined;
      throw error;
    }
  }

  /** Replaces all labels. */
  async setLabels(labels: Record<string, string>, options?: CallOptions): Promise<void> {
    await this.#connection
      .client(api.Containers)
      .update({ container: { id: this.id, labels }, updateMask: { paths: ["labels"] } }, options);
  }

  /** Replaces the spec; takes effect with the next task. Returns the updated container. */
  async setSpec(spec: Spec, options?: CallOptions): Promise<Container> {
    const { container } = await this.#connection.client(api.Containers).update(
      {
        container: { id: this.id, spec: packJson(SPEC_TYPE, stringifyJson(spec)) },
        updateMask: { paths: ["spec"] },
      },
      options,
    );
    return new Container(this.#connection, container!);
  }

  /**
   * Starts the container with its log as output, unless it runs; remains of its last task are removed first. Returns
   * the pid of its first process. Only berthd implements this and {@link stop}, {@link restart} and {@link remove}.
   */
  async start(options?: CallOptions): Promise<{ pid: number; wasRunning: boolean }> {
    const service = this.#connection.client((await import("@berth/api/supervisor")).Supervisor);
    const { pid, wasRunning } = await service.start({ containerId: this.id }, options);
    return { pid, wasRunning };
  }

  /**
   * Removes the container with its task, snapshot and log; "failed_precondition" while it runs, unless `force` kills
   * it first.
   */
  async remove({ force = false } = {}, options?: CallOptions): Promise<void> {
    const service = this.#connection.client((await import("@berth/api/supervisor")).Supervisor);
    await service.remove({ containerId: this.id, force }, options);
  }

  /**
   * Asks the container to exit and, after a grace period, kills it; joins a stop that is under way.
   * "deadline_exceeded" names a process that is stuck in the kernel.
   */
  async stop(how: StopOptions = {}, options?: CallOptions): Promise<{ wasRunning: boolean; code: number }> {
    const service = this.#connection.client((await import("@berth/api/supervisor")).Supervisor);
    const answer = await service.stop({ containerId: this.id, ...stopRequest(how) }, options);
    return { wasRunning: answer.wasRunning, code: answer.exitStatus };
  }

  /** Stops the container and starts it again, with its log as output; returns the new process's pid. */
  async restart(how: StopOptions = {}, options?: CallOptions): Promise<number> {
    const service = this.#connection.client((await import("@berth/api/supervisor")).Supervisor);
    return (await service.restart({ containerId: this.id, ...stopRequest(how) }, options)).pid;
  }

  /** Sets one label; an empty value removes it. */
  async setLabel(key: string, value: string, options?: CallOptions): Promise<void> {
    await this.#connection
      .client(api.Containers)
      .update(
        { container: { id: this.id, labels: { [key]: value } }, updateMask: { paths: [`labels.${key}`] } },
        options,
      );
  }

  /** Deletes only the record; "failed_precondition" while its task runs. */
  async delete(options?: CallOptions): Promise<void> {
    await this.#connection.client(api.Containers).delete({ id: this.id }, options);
  }
}

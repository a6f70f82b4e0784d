/** A container of a foreign shim: the connection, the record, and the processes. */
import { task2, task3 } from "@berth/api";
import { nanoseconds } from "@berth/api/time";
import { BerthError, isCode, systemClock } from "@berth/base";
import type { Client } from "@berth/rpc";
import { type Connection, connect } from "@berth/ttrpc";
import { TaskProcess } from "../contract/task-process.ts";
import type { Exit, Stdio } from "../contract/task-shim.ts";
import type { ShimAddress, ShimCall } from "./binary.ts";
import type { ForeignRecord } from "./bundle.ts";

const DIAL_MS = 10_000;

/** Task service; versions 2 and 3 have the same messages under different names. */
export type TaskClient = Client<typeof task2.Task>;

/** See the module comment. */
export class ForeignTask {
  readonly call: ShimCall;
  readonly record: ForeignRecord;
  readonly processes = new Map<string, TaskProcess>();
  paused = false;
  /** It is being deleted, so the shim is expected to exit. */
  leaving = false;
  #connection: Connection | undefined;
  closeLog: () => void = () => {};

  constructor(call: ShimCall, record: ForeignRecord) {
    this.call = call;
    this.record = record;
    this.add("", record.stdio, record.pid, record.started);
    for (const [execId, exec] of Object.entries(record.execs))
      this.add(execId, exec.stdio, exec.pid, exec.started);
  }

  /** Adds a process. */
  add(execId: string, stdio: Stdio, pid: number, started: boolean): TaskProcess {
    const process = new TaskProcess({ execId, stdio, pid, started });
    this.processes.set(execId, process);
    return process;
  }

  process(execId = ""): TaskProcess {
    const found = this.processes.get(execId);
    if (found === undefined)
      throw new BerthError("not_found", `process ${execId} of task ${this.call.id} not found`, {
        stage: "task",
      });
    return found;
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** The shim's Task service. */
  get client(): TaskClient {
    if (this.#connection === undefined)
      throw new BerthError("unavailable", `the shim of task ${this.call.id} is gone`, { stage: "task" });
    return this.#connection.client(taskService(this.record.shim));
  }

  /** Connects to the shim; calls `onLost` if it exits, unless the task is being deleted. */
  async connect(shim: ShimAddress, onLost: () => void): Promise<void> {
    this.record.shim = shim;
    const connection = connect({
      address: shim.address,
      bare: "abstract",
      dialTimeoutMs: DIAL_MS,
      background: true,
      headers: { "containerd-namespace-ttrpc": this.call.namespace },
      onLost: () => {
        if (this.#connection !== connection) return;
        this.#connection = undefined;
        if (!this.leaving) onLost();
      },
    });
    await connection.open();
    this.#connection = connection;
  }

  /** Waits for the exit of a process, unless the shim exits first. */
  watch(process: TaskProcess): void {
    const { execId } = process.record;
    this.client
      .wait({ id: this.call.id, execId })
      .then((exit) => process.end(exitOf(exit)))
      .catch((error: unknown) => {
        if (isCode(error, "not_found")) process.end({ exitStatus: 255, exitedAt: systemClock.wall() });
      });
  }

  close(): void {
    this.closeLog();
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
  }
}

/** The Task service of a shim, in its version. */
export function taskService(shim: ShimAddress | undefined): typeof task2.Task {
  return shim?.version === 2 ? task2.Task : (task3.Task as unknown as typeof task2.Task);
}

/** The exit in a shim's answer. */
export function exitOf(answer: {
  exitStatus: number;
  exitedAt?: { seconds: bigint; nanos: number } | undefined;
}): Exit {
  return { exitStatus: answer.exitStatus, exitedAt: nanoseconds(answer.exitedAt) ?? 0n };
}

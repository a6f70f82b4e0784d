/**
 * Tasks: running containers, on top of the shim. The shim knows processes, this knows containers; {@link TaskHooks}
 * decide what follows an exit.
 *
 * Operations that create or remove a container's task or its record exclude each other, so that no task is ever
 * without a record: clients reach it by its record.
 */
import { runc, type types, unpack } from "@berth/api";
import { BerthError, ignoreMissing, isCode, log, SIGKILL, stage } from "@berth/base";
import type { Descriptor } from "@berth/oci";
import {
  type Exit,
  eventMessage,
  type ProcessRef,
  type Stdio,
  type TaskEvent,
  type TaskShim,
  type TaskState,
  taskEventOf,
} from "@berth/shim";
import type { Any } from "@bufbuild/protobuf/wkt";
import { KeyedMutex } from "../../base/core/mutex.ts";
import { checkIdentifier } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import { fromDescriptor } from "../../base/core/wire.ts";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";
import { logFile, makeLogFolder, removeLog, removeOrphanLogs } from "../../objects/containers/log-file.ts";
import { checkpointRequest } from "./checkpoint-request.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { createRequest, endMounts, type TaskRequest } from "./create-request.ts";
import type { TaskHooks } from "./hooks.ts";
import { isUp, taskOf } from "./task-state.ts";
import type { TaskStores } from "./task-stores.ts";

/** Time for a discarded task to exit, in milliseconds. */
const DISCARD_MS = 5000;

/** Tasks of all namespaces. */
export class TaskManager {
  readonly #shim: TaskShim;
  readonly #stores: TaskStores;
  readonly #stopListening: () => void;
  /** Serializes operations on a container: see the module comment. */
  readonly #turns = new KeyedMutex();
  #hooks: TaskHooks | undefined;

  constructor(shim: TaskShim, stores: TaskStores) {
    this.#shim = shim;
    this.#stores = stores;
    this.#stopListening = shim.onEvent((event) => this.#onEvent(event));
  }

  /** Calls `hooks` from now on. */
  attach(hooks: TaskHooks): void {
    this.#hooks = hooks;
  }

  /** Takes over the tasks of an earlier daemon. */
  async recover(): Promise<void> {
    await this.#shim.recover();
    const { containers, checkpoints } = this.#stores;
    checkpoints?.sweep((ns, id) => this.#shim.list(ns).some((task) => task.id === id));
    removeOrphanLogs(this.#stores.logs, (ns, id) => containers.find(ns, id) !== undefined);
    this.#endOrphans();
  }

  /** Ends tasks whose containers have no record: no client can. Not awaited, as one may be stuck in the kernel. */
  #endOrphans(): void {
    for (const { namespace, id } of this.#shim.list()) {
      if (this.#stores.containers.find(namespace, id) !== undefined) continue;
      log.warn("a task has no container any more; it is ended", { namespace, id });
      void this.discard({ namespace, id });
    }
  }

  /** Takes an event from another process's shim: it is published as it is, with its own time. */
  forward(envelope: types.Envelope | undefined): void {
    this.#stores.events.check(envelope);
    const { namespace, topic, event } = envelope;
    const known = event === undefined ? undefined : taskEventOf(namespace, topic, event);
    if (known !== undefined && this.#shim.observe(known)) this.#hooks?.onEvent(known);
    this.#stores.events.forward(envelope);
  }

  #onEvent(event: TaskEvent): void {
    this.#hooks?.onEvent(event);
    this.#stores.events.publish(event.namespace, event.topic, eventMessage(event));
  }

  /**
   * Removes a container entirely: its task, record, snapshot and log. `end` stops a running task; no other can be
   * started meanwhile. Without it, "failed_precondition" while the task runs.
   */
  remove(ns: string, id: string, end?: () => Promise<unknown>): Promise<void> {
    return this.#turns.run(`${ns}/${id}`, async () => {
      const { db, containers, snapshots, logs } = this.#stores;
      const record = containers.get(ns, id);
      if (end !== undefined) await end();
      await this.#deleteEnded(ns, id);
      db.transaction(() => {
        containers.delete(ns, id);
        const where = { ns, snapshotter: record.snapshotter };
        if (record.snapshotKey !== "" && snapshots.find(where, record.snapshotKey) !== undefined)
          snapshots.remove(where, record.snapshotKey);
      });
      removeLog(logs, ns, record);
      this.#forget(ns, id);
    });
  }

  /**
   * Removes a container's record, with its log and an exited task, and leaves the snapshot to the client;
   * "failed_precondition" while a task runs.
   */
  removeRecord(ns: string, id: string): Promise<void> {
    return this.#turns.run(`${ns}/${id}`, async () => {
      const { containers, logs } = this.#stores;
      const record = containers.get(ns, id);
      await this.#deleteEnded(ns, id);
      containers.delete(ns, id);
      removeLog(logs, ns, record);
      this.#forget(ns, id);
    });
  }

  /** Deletes a container's task, if it has one that has exited or was not started. */
  async #deleteEnded(ns: string, id: string): Promise<void> {
    const ref = { namespace: ns, id };
    const task = taskOf(this.#shim, ref);
    if (task === undefined) return;
    if (isUp(task))
      throw new BerthError(
        "failed_precondition",
        `container ${id} cannot be removed: its task is ${task.status}`,
        {
          stage: "remove",
          hint: "stop it first, or remove it with force",
        },
      );
    await ignoreMissing(this.#shim.delete(ref));
    await endMounts(this.#stores, ns, id);
  }

  /** Drops everything kept for a container that is gone. */
  #forget(ns: string, id: string): void {
    this.#hooks?.removed(ns, id);
    this.#stores.checkpoints?.forget(ns, id);
  }

  /** Kills and deletes an unwanted task, even one whose container is gone. */
  async discard(ref: ProcessRef): Promise<void> {
    await this.#shim.kill(ref, SIGKILL, true).catch(() => {});
    await this.#shim.wait(ref, AbortSignal.timeout(DISCARD_MS)).catch(() => {});
    await this.#shim.delete(ref).catch((error) => {
      if (!isCode(error, "not_found"))
        log.warn("a task could not be discarded", { container: ref.id, error: String(error) });
    });
    if (!ref.execId) await endMounts(this.#stores, ref.namespace, ref.id);
  }

  /** The container, checked for being able to have tasks. */
  #container(ns: string, id: string): ContainerRecord {
    return this.#stores.containers.get(ns, id);
  }

  /** Name of a task's runtime, from its container. */
  runtimeOf({ namespace, id }: ProcessRef): string {
    return this.#stores.containers.find(namespace, id)?.runtime?.name ?? "";
  }

  /** State of the task's process; "not_found" with containerd's message. */
  state(ref: ProcessRef): TaskState {
    this.#container(ref.namespace, ref.id);
    return this.#known(ref, () => this.#shim.state(ref));
  }

  /** Replaces the shim's "not_found" for the init process with the message that clients look for. */
  #known<T>(ref: ProcessRef, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw notFound(ref, error);
    }
  }

  async #ask<T>(ref: ProcessRef, work: () => Promise<T>): Promise<T> {
    this.#container(ref.namespace, ref.id);
    try {
      return await work();
    } catch (error) {
      throw notFound(ref, error);
    }
  }

  list(ns: string): TaskState[] {
    return this.#shim.list(ns);
  }

  create(ns: string, request: TaskRequest, signal?: AbortSignal): Promise<{ pid: number }> {
    const { containerId: id } = request;
    return this.#inTurn("tasks.Create", { namespace: ns, id }, async () => {
      const record = this.#container(ns, id);
      const task = await createRequest(this.#stores, ns, record, request);
      this.#hooks?.creating(ns, record);
      makeLogFolder(this.#stores.logs, task.stdio);
      const checkpoint = fromDescriptor(request.checkpoint);
      const imagePath = unpack(runc.OptionsSchema, request.options)?.criuImagePath;
      if (imagePath) task.checkpoint = imagePath;
      else if (checkpoint !== undefined) task.checkpoint = await this.#checkpoints().load(ns, id, checkpoint);
      const made = await this.#shim.create(task, signal).catch(async (error: unknown) => {
        if (!isCode(error, "already_exists")) await endMounts(this.#stores, ns, id);
        const where = { ns, snapshotter: record.snapshotter };
        throw (
          (record.snapshotKey === ""
            ? undefined
            : this.#stores.snapshots.lossOf(where, record.snapshotKey)) ?? error
        );
      });
      this.#hooks?.created(ns, record);
      return made;
    });
  }

  /** Path of a container's log when the daemon chooses the streams. */
  logFile(ns: string, record: ContainerRecord): string {
    return logFile(this.#stores.logs, ns, record);
  }

  /** Runs an operation that creates or removes a task, after those in progress for the container. */
  #inTurn<T>(name: string, { namespace, id }: ProcessRef, work: () => Promise<T>): Promise<T> {
    const key = `${namespace}/${id}`;
    return stage(name, { namespace, container: id }, () => {
      const turn = Promise.withResolvers<void>();
      if (this.#turns.busy(key)) void stage("wait for another operation", {}, () => turn.promise);
      // A repeated request, while the first is running, is passed on to the shim: it joins.
      return this.#turns.runWith(key, name, () => {
        turn.resolve();
        return work();
      });
    });
  }

  start(ref: ProcessRef, signal?: AbortSignal): Promise<{ pid: number }> {
    const facts = {
      namespace: ref.namespace,
      container: ref.id,
      ...(ref.execId ? { exec: ref.execId } : {}),
    };
    return stage("tasks.Start", facts, () => this.#ask(ref, () => this.#shim.start(ref, signal)));
  }

  delete(ref: ProcessRef): Promise<Exit & { pid: number }> {
    const facts = {
      namespace: ref.namespace,
      container: ref.id,
      ...(ref.execId ? { exec: ref.execId } : {}),
    };
    if (ref.execId) return stage("tasks.Delete", facts, () => this.#ask(ref, () => this.#shim.delete(ref)));
    return this.#inTurn("tasks.Delete", ref, async () => {
      // The task holds the only other record of its exit.
      this.#hooks?.deleting(ref.namespace, ref.id);
      this.#stores.containers.settle(ref.namespace, ref.id);
      const exit = await this.#ask(ref, () => this.#shim.delete(ref));
      await endMounts(this.#stores, ref.namespace, ref.id);
      this.#stores.checkpoints?.forget(ref.namespace, ref.id);
      return exit;
    });
  }

  #checkpoints(): Checkpoints {
    const { checkpoints } = this.#stores;
    if (checkpoints === undefined) throw new BerthError("unimplemented", "no checkpoints are kept here");
    return checkpoints;
  }

  /** Has CRIU checkpoint a container: into a folder that the options name, or into blobs. */
  checkpoint(scope: Scope, id: string, options: Any | undefined, signal: AbortSignal): Promise<Descriptor[]> {
    const { namespace } = scope;
    return stage("tasks.Checkpoint", { namespace, container: id }, async () => {
      const record = this.#container(namespace, id);
      const wanted = unpack(runc.CheckpointOptionsSchema, options);
      if (options !== undefined && options.value.length > 0 && wanted === undefined)
        throw new BerthError(
          "unimplemented",
          `checkpoint options of type ${options.typeUrl} are not supported, expected ${runc.CheckpointOptionsSchema.typeName}`,
        );
      const write = (path: string) =>
        this.#ask({ namespace, id }, () =>
          this.#shim.checkpoint({ namespace, id }, checkpointRequest(path, wanted)),
        );
      if (wanted?.imagePath) {
        await write(wanted.imagePath);
        return [];
      }
      return this.#checkpoints().save(scope, record.spec!, signal, write);
    });
  }

  exec(ref: ProcessRef & { execId: string }, stdio: Stdio, process: Any | undefined): Promise<void> {
    return stage(
      "tasks.Exec",
      { namespace: ref.namespace, container: ref.id, exec: ref.execId },
      async () => {
        checkIdentifier(ref.execId);
        if (process === undefined)
          throw new BerthError("invalid_argument", "spec is missing: invalid argument");
        await this.#ask(ref, () => this.#shim.exec({ ...ref, stdio, process: process.value }));
      },
    );
  }

  /** A client's signal: it may also cancel the container's next start. */
  async kill(ref: ProcessRef, signal: number, all: boolean): Promise<void> {
    const waited = !ref.execId && signal !== 0 && this.#hooks?.killing(ref.namespace, ref.id, signal);
    if (waited && !isUp(taskOf(this.#shim, ref))) return;
    await this.signal(ref, signal, all);
  }

  /** Sends a signal, without consulting the hooks. */
  signal(ref: ProcessRef, signal: number, all: boolean): Promise<void> {
    return stage("tasks.Kill", { namespace: ref.namespace, container: ref.id, signal }, () =>
      this.#ask(ref, () => this.#shim.kill(ref, signal, all)),
    );
  }

  pause(ref: ProcessRef): Promise<void> {
    return stage("tasks.Pause", { namespace: ref.namespace, container: ref.id }, () =>
      this.#ask(ref, () => this.#shim.pause(ref)),
    );
  }

  resume(ref: ProcessRef): Promise<void> {
    return stage("tasks.Resume", { namespace: ref.namespace, container: ref.id }, () =>
      this.#ask(ref, () => this.#shim.resume(ref)),
    );
  }

  update(ref: ProcessRef, resources: Any | undefined): Promise<void> {
    return stage("tasks.Update", { namespace: ref.namespace, container: ref.id }, () =>
      this.#ask(ref, () => this.#shim.update(ref, resources?.value ?? Buffer.from("{}"))),
    );
  }

  resizePty(ref: ProcessRef, width: number, height: number): Promise<void> {
    return this.#ask(ref, () => this.#shim.resizePty(ref, width, height));
  }

  closeIO(ref: ProcessRef): Promise<void> {
    return this.#ask(ref, () => this.#shim.closeIO(ref));
  }

  pids(ref: ProcessRef): Promise<{ pid: number; execId?: string }[]> {
    return this.#ask(ref, () => this.#shim.pids(ref));
  }

  wait(ref: ProcessRef, signal: AbortSignal): Promise<Exit> {
    return this.#ask(ref, () => this.#shim.wait(ref, signal));
  }

  stats(ref: ProcessRef): ReturnType<TaskShim["stats"]> {
    return this.#shim.stats(ref);
  }

  async close(): Promise<void> {
    this.#stopListening();
    await this.#shim.close();
  }
}

function notFound(ref: ProcessRef, error: unknown): unknown {
  if (!isCode(error, "not_found") || (error as BerthError).errno !== undefined) return error;
  const message = ref.execId
    ? `process ${ref.execId} of container ${ref.id}: ${(error as BerthError).message}`
    : `task ${ref.id} not found: not found`;
  return ref.execId ? error : new BerthError("not_found", message, { cause: error });
}

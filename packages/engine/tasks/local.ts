/**
 * Tasks: containers that run, over the shim.
 *
 * The shim knows processes; this knows containers. It keeps how a container's last task ended as labels of the
 * container (`berth/exit-code`, `berth/finished-at`), and removes containers that ask for it
 * (`berth/auto-remove=true`) once their task has ended.
 */
import { runc } from "@berth/api";
import { BerthError, isCode, log, stage } from "@berth/base";
import {
  type CheckpointTask,
  type CreateTask,
  type Exit,
  eventMessage,
  type ProcessRef,
  type RootfsMount,
  readTaskOptions,
  type Stdio,
  type TaskEvent,
  type TaskShim,
  type TaskState,
} from "@berth/shim";
import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { ContainerRecord, ContainerStore } from "../containers/local.ts";
import { makeLogFolder, removeLog, removeOrphanLogs } from "../containers/log-file.ts";
import { checkIdentifier } from "../core/names.ts";
import { unpack } from "../core/pack.ts";
import type { Scope } from "../core/scope.ts";
import { nanoseconds, now, rfc3339 } from "../core/time.ts";
import type { EventBus } from "../events/local.ts";
import type { Descriptor } from "../images/store.ts";
import type { SnapshotStore } from "../snapshots/local.ts";
import type { Database } from "../store/database.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { BUILT_IN, foreignRuntime } from "./runtime.ts";

/**
 * Label of a container that is to vanish when its task has ended: "true", or "attached" while a client watches it, who
 * wants the exit code first and then removes it, unless it is killed.
 */
export const AUTO_REMOVE = "berth/auto-remove";
/** Labels that tell how the last task ended. */
export const EXIT_CODE = "berth/exit-code";
export const FINISHED_AT = "berth/finished-at";
/**
 * Label of a container that the out-of-memory killer was in since it was started: the cgroup whose limit was met, "/" for
 * the host's own memory.
 */
export const OOM_CGROUP = "berth/oom-cgroup";

/** How long a client has to collect the exit status of a container that removes itself, in milliseconds. */
const REMOVE_DELAY_MS: ReadonlyMap<string | undefined, number> = new Map([
  ["true", 300],
  ["attached", 10_000],
]);
/** A container without a task that asks to be removed is an orphan after this long, in nanoseconds. */
const ORPHAN_NS = 60n * 1_000_000_000n;

/** The stores that tasks touch. */
export interface TaskStores {
  db: Database;
  containers: ContainerStore;
  snapshots: SnapshotStore;
  events: EventBus;
  /** Folder of containers' logs. */
  logs: string;
  /** Images of CRIU's; without them no task is checkpointed. */
  checkpoints?: Checkpoints;
  /** Names of runtimes that mean berth's own; default: {@link BUILT_IN}. */
  builtIn?: readonly string[];
}

/** A task to be made. */
export interface NewTask {
  id: string;
  rootfs: readonly RootfsMount[];
  stdio: Stdio;
  options: Any | undefined;
  /** Image that its processes come from. */
  checkpoint?: Descriptor | undefined;
}

/** Tasks of all namespaces. */
export class TaskManager {
  readonly #shim: TaskShim;
  readonly #stores: TaskStores;
  readonly #stopListening: () => void;
  readonly #removals = new Map<string, NodeJS.Timeout>();
  /** Exits that are not written down yet. */
  readonly #unnoted = new Map<string, () => void>();

  constructor(shim: TaskShim, stores: TaskStores) {
    this.#shim = shim;
    this.#stores = stores;
    this.#stopListening = shim.onEvent((event) => this.#onEvent(event));
  }

  /** Takes over what an earlier daemon left, and finishes removals it did not get to. */
  async recover(): Promise<void> {
    await this.#shim.recover();
    const { db, containers, checkpoints } = this.#stores;
    checkpoints?.sweep((ns, id) => this.#shim.list(ns).some((task) => task.id === id));
    removeOrphanLogs(this.#stores.logs, (ns, id) => containers.find(ns, id) !== undefined);
    for (const { name: ns } of db.all("SELECT name FROM namespaces") as { name: string }[]) {
      const tasks = new Map(this.#shim.list(ns).map((task) => [task.id, task]));
      for (const record of containers.list(ns)) {
        const task = tasks.get(record.id);
        if (task?.status === "stopped") this.#noteExit(ns, record.id, task);
        const delay = REMOVE_DELAY_MS.get(record.labels[AUTO_REMOVE]);
        if (delay === undefined) continue;
        // Whoever was about to start it has lost the connection, and does not come back: its name is free again.
        const abandoned =
          record.labels[AUTO_REMOVE] === "attached" && (task === undefined || task.status === "created");
        if (abandoned) {
          await this.#remove(ns, record.id);
          continue;
        }
        const orphan = now() - (nanoseconds(record.createdAt) ?? 0n) > ORPHAN_NS;
        if (
          task?.status === "stopped" ||
          (task === undefined && (orphan || record.labels[EXIT_CODE] !== undefined))
        )
          this.#removeLater(ns, record.id, delay);
      }
    }
  }

  #onEvent(event: TaskEvent): void {
    try {
      if (event.topic === "/tasks/exit" && event.execId === "") {
        this.#noteSoon(event.namespace, event.id, event);
        const record = this.#stores.containers.find(event.namespace, event.id);
        const delay = REMOVE_DELAY_MS.get(record?.labels[AUTO_REMOVE]);
        if (delay !== undefined) this.#removeLater(event.namespace, event.id, delay);
      }
      if (event.topic === "/tasks/oom")
        this.#stores.containers.note(event.namespace, event.id, { [OOM_CGROUP]: event.cgroup ?? "/" });
    } catch (error) {
      log.error("an event could not be noted down", { container: event.id, error: String(error) });
    }
    this.#stores.events.publish(event.namespace, event.topic, create(AnySchema, eventMessage(event)));
  }

  /**
   * Notes an exit once those who wait for it have been answered: writing takes longer than telling. Until the task is
   * deleted the shim has it too, so nothing is lost in between.
   */
  #noteSoon(ns: string, id: string, exit: Exit): void {
    this.#unnoted.set(`${ns}/${id}`, () => this.#noteExit(ns, id, exit));
    setImmediate(() => this.#noteNow(ns, id));
  }

  #noteNow(ns: string, id: string): void {
    const key = `${ns}/${id}`;
    const note = this.#unnoted.get(key);
    this.#unnoted.delete(key);
    try {
      note?.();
    } catch (error) {
      log.error("an exit could not be noted down", { container: id, error: String(error) });
    }
  }

  #noteExit(ns: string, id: string, exit: Exit): void {
    this.#stores.containers.note(ns, id, {
      [EXIT_CODE]: String(exit.exitStatus),
      [FINISHED_AT]: rfc3339(exit.exitedAt),
    });
  }

  #removeLater(ns: string, id: string, delay: number): void {
    const key = `${ns}/${id}`;
    if (this.#removals.has(key)) return;
    const timer = setTimeout(() => {
      this.#removals.delete(key);
      this.#remove(ns, id).catch((error) =>
        log.warn("a container could not be removed after its end", { container: id, error: String(error) }),
      );
    }, delay);
    this.#removals.set(key, timer);
  }

  /** Removes a container whose task has ended, with its task and its snapshot. */
  #remove(ns: string, id: string): Promise<void> {
    return stage("auto-remove", { namespace: ns, container: id }, async () => {
      const { db, containers, snapshots } = this.#stores;
      const record = containers.find(ns, id);
      if (record === undefined) return;
      try {
        // Started again in the meantime: it is not over. One that was made and never started is.
        const { status } = this.#shim.state({ namespace: ns, id });
        if (status !== "stopped" && status !== "created") return;
        await this.#shim.delete({ namespace: ns, id });
      } catch (error) {
        if (!isCode(error, "not_found")) throw error;
      }
      db.transaction(() => {
        if (containers.find(ns, id) === undefined) return;
        containers.delete(ns, id);
        const where = { ns, snapshotter: record.snapshotter };
        if (record.snapshotKey !== "" && snapshots.find(where, record.snapshotKey) !== undefined)
          snapshots.remove(where, record.snapshotKey);
      });
      removeLog(this.#stores.logs, record.labels);
    });
  }

  /** The container, with a check that it can have tasks. */
  #container(ns: string, id: string): ContainerRecord {
    return this.#stores.containers.get(ns, id);
  }

  /** The task's process; "not_found" in containerd's words. */
  state(ref: ProcessRef): TaskState {
    this.#container(ref.namespace, ref.id);
    return this.#known(ref, () => this.#shim.state(ref));
  }

  /** Turns the shim's "not found" for the init process into the words that clients look for. */
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

  create(ns: string, request: NewTask, signal?: AbortSignal): Promise<{ pid: number }> {
    const { id, stdio, options } = request;
    return stage("tasks.Create", { namespace: ns, container: id }, async () => {
      const record = this.#container(ns, id);
      const runtime = foreignRuntime(record, this.#stores.builtIn ?? BUILT_IN);
      const given = [options, record.runtime!.options].find((o) => o !== undefined && o.value.length > 0);
      const create: CreateTask = {
        namespace: ns,
        id,
        stdio,
        spec: record.spec!.value,
        rootfs: request.rootfs.length > 0 ? request.rootfs : this.#rootfs(ns, record),
        ...(runtime === undefined
          ? { options: { ...readTaskOptions(record.runtime!.options), ...readTaskOptions(options) } }
          : { runtime, ...(given === undefined ? {} : { runtimeOptions: given }) }),
      };
      this.#keep(ns, id);
      if (request.checkpoint !== undefined)
        create.checkpoint = await this.#checkpoints().load(ns, id, request.checkpoint);
      const made = await this.#shim.create(create, signal);
      if (record.labels[EXIT_CODE] !== undefined || record.labels[OOM_CGROUP] !== undefined)
        this.#stores.containers.note(ns, id, { [EXIT_CODE]: "", [FINISHED_AT]: "", [OOM_CGROUP]: "" });
      return made;
    });
  }

  /** The mounts of the container's snapshot, for clients that leave them to the daemon. */
  #rootfs(ns: string, record: ContainerRecord): RootfsMount[] {
    if (record.snapshotKey === "") return [];
    return this.#stores.snapshots.mounts({ ns, snapshotter: record.snapshotter }, record.snapshotKey);
  }

  /** Makes the folder of a container's log, for a start that no client has prepared. */
  makeLogFolder(record: ContainerRecord): void {
    makeLogFolder(this.#stores.logs, record.labels);
  }

  /** Calls off the removal of a container that is used again. */
  #keep(ns: string, id: string): void {
    const key = `${ns}/${id}`;
    clearTimeout(this.#removals.get(key));
    this.#removals.delete(key);
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
    if (!ref.execId) this.#noteNow(ref.namespace, ref.id);
    return stage("tasks.Delete", facts, async () => {
      const exit = await this.#ask(ref, () => this.#shim.delete(ref));
      if (!ref.execId) this.#stores.checkpoints?.forget(ref.namespace, ref.id);
      return exit;
    });
  }

  #checkpoints(): Checkpoints {
    const { checkpoints } = this.#stores;
    if (checkpoints === undefined) throw new BerthError("unimplemented", "no checkpoints are kept here");
    return checkpoints;
  }

  /** Has CRIU write a container's processes down: into a folder that the options name, or into blobs. */
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
          this.#shim.checkpoint({ namespace, id }, checkpointWish(path, wanted)),
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

  kill(ref: ProcessRef, signal: number, all: boolean): Promise<void> {
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
    for (const key of [...this.#unnoted.keys()]) {
      const slash = key.indexOf("/");
      this.#noteNow(key.slice(0, slash), key.slice(slash + 1));
    }
    for (const timer of this.#removals.values()) clearTimeout(timer);
    await this.#shim.close();
  }
}

/** containerd's options in the shim's terms. */
function checkpointWish(path: string, wanted: runc.CheckpointOptions | undefined): CheckpointTask {
  if (wanted === undefined) return { path, exit: false };
  const { exit, openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces } = wanted;
  const { cgroupsMode, workPath, parentPath } = wanted;
  return {
    ...{ path, exit, openTcp, externalUnixSockets, terminal, fileLocks },
    ...{ emptyNamespaces, cgroupsMode, workPath, parentPath },
  };
}

function notFound(ref: ProcessRef, error: unknown): unknown {
  if (!isCode(error, "not_found") || (error as BerthError).errno !== undefined) return error;
  const message = ref.execId
    ? `process ${ref.execId} of container ${ref.id}: ${(error as BerthError).message}`
    : `task ${ref.id} not found: not found`;
  return ref.execId ? error : new BerthError("not_found", message, { cause: error });
}

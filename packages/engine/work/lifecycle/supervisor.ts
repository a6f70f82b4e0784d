/**
 * Compound operations on a container: start, stop, restart, remove. They are serialized per container, and a repeated
 * request joins the running one.
 */
import { LABEL } from "@berth/api";
import { BerthError, criLogUri, ignoreMissing, SIGTERM, signalNumber, stage } from "@berth/base";
import type { Exit } from "@berth/shim";
import { KeyedMutex } from "../../base/core/mutex.ts";
import type { ContainerRecord, ContainerStore } from "../../objects/containers/container-store.ts";
import type { TaskManager } from "../tasks/task-manager.ts";
import { isUp, taskOf } from "../tasks/task-state.ts";
import { detachedStdio } from "./detached-stdio.ts";
import { Grace } from "./grace.ts";
import { stopTask } from "./stop-task.ts";

/** Default grace period, as in docker. */
const DEFAULT_GRACE_S = 10;

/** How to stop a container. */
export interface StopOptions {
  /** Grace period in seconds; negative for no limit, undefined for the container's own. */
  seconds: number | undefined;
  /** Undefined for the container's own. */
  signal: number | undefined;
}

/** Result of a stop. */
export interface Stopped {
  wasRunning: boolean;
  exit: Exit | undefined;
}

/** Result of a start. */
export interface Started {
  pid: number;
  wasRunning: boolean;
}

/** Called before a client's stop: the exit is intended. */
export type OnStop = (ns: string, id: string) => void;

/** Runs compound operations. */
export class Supervisor {
  readonly #tasks: TaskManager;
  readonly #containers: ContainerStore;
  readonly #locks = new KeyedMutex();
  readonly #graces = new Map<string, Grace>();
  readonly #stops = new Map<string, Promise<Stopped>>();
  readonly #starts = new Map<string, Promise<Started>>();
  readonly #restarts = new Map<string, Promise<{ pid: number }>>();
  readonly #removals = new Map<string, Promise<void>>();
  readonly #forcedRemovals = new Map<string, Promise<void>>();
  readonly #watchers = new Set<OnStop>();

  constructor(tasks: TaskManager, containers: ContainerStore) {
    this.#tasks = tasks;
    this.#containers = containers;
  }

  /** Registers `watcher`, to be called before each stop by a client. */
  onStop(watcher: OnStop): void {
    this.#watchers.add(watcher);
  }

  /**
   * Stops a container; returns at once if it is not running. "not_found" if it does not exist. With `byHand` false,
   * the stop is not a client's: the watchers are not called.
   */
  stop(ns: string, id: string, options: StopOptions, byHand = true): Promise<Stopped> {
    const record = this.#containers.get(ns, id);
    return this.#join("containers.Stop", this.#stops, ns, record, options, () =>
      this.#stop(ns, record, options, byHand),
    );
  }

  /** Starts a container that is not running, with its log as output. */
  start(ns: string, id: string): Promise<Started> {
    const record = this.#containers.get(ns, id);
    return this.#join("containers.Start", this.#starts, ns, record, undefined, async () => {
      const before = taskOf(this.#tasks, { namespace: ns, id });
      if (before !== undefined && isUp(before)) return { pid: before.pid, wasRunning: true };
      const log = criLogUri(this.#tasks.logFile(ns, record));
      const { pid } = await this.#renew(ns, id, log);
      return { pid, wasRunning: false };
    });
  }

  /**
   * Removes a container and everything that belongs to it; with `force` even one that is running or waits for a
   * restart.
   */
  remove(ns: string, id: string, force: boolean): Promise<void> {
    const record = this.#containers.get(ns, id);
    if (force) {
      const now = { seconds: 0, signal: undefined };
      return this.#join("containers.Remove", this.#forcedRemovals, ns, record, now, () =>
        this.#tasks.remove(ns, id, () => this.#stop(ns, record, now, true)),
      );
    }
    return this.#join("containers.Remove", this.#removals, ns, record, undefined, () => {
      if (this.#containers.get(ns, id).labels[LABEL.restartAt] === undefined)
        return this.#tasks.remove(ns, id);
      throw new BerthError(
        "failed_precondition",
        `container ${id} cannot be removed: it is about to be restarted`,
        {
          stage: "remove",
          hint: "stop it first, or remove it with force",
        },
      );
    });
  }

  /** Stops a container if it is running, and starts it again. */
  restart(ns: string, id: string, options: StopOptions): Promise<{ pid: number }> {
    const record = this.#containers.get(ns, id);
    return this.#join("containers.Restart", this.#restarts, ns, record, options, async () => {
      await this.#stop(ns, record, options, true);
      return this.#renew(ns, id);
    });
  }

  /**
   * Restarts an exited container in its turn, if `stillDue` then returns true; undefined if it does not, or if a client
   * has started it meanwhile.
   */
  startAgain(ns: string, id: string, stillDue: () => boolean): Promise<{ pid: number } | undefined> {
    return this.#locks.run(`${ns}/${id}`, async () => {
      const task = taskOf(this.#tasks, { namespace: ns, id });
      if (isUp(task) || !stillDue()) return undefined;
      return stage("restart", { namespace: ns, container: id }, () => this.#renew(ns, id));
    });
  }

  /**
   * Runs `work` for a container after other operations on it, or returns the promise of the same operation in
   * progress.
   */
  #join<T>(
    name: string,
    running: Map<string, Promise<T>>,
    ns: string,
    record: ContainerRecord,
    options: StopOptions | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const key = `${ns}/${record.id}`;
    // The stop in progress may have a longer grace period than this caller's.
    if (options !== undefined) this.#graces.get(key)?.atMost(graceMs(record, options));
    const first = running.get(key);
    if (first !== undefined) return first;
    const done = stage(name, { namespace: ns, container: record.id }, () => {
      const turn = Promise.withResolvers<void>();
      if (this.#locks.busy(key)) void stage("wait for another operation", {}, () => turn.promise);
      return this.#locks.run(key, () => {
        turn.resolve();
        return work();
      });
    }).finally(() => running.delete(key));
    running.set(key, done);
    return done;
  }

  async #stop(ns: string, record: ContainerRecord, options: StopOptions, byHand: boolean): Promise<Stopped> {
    const ref = { namespace: ns, id: record.id };
    if (byHand) for (const watcher of this.#watchers) watcher(ns, record.id);
    const before = taskOf(this.#tasks, ref)?.status;
    if (before === undefined || before === "stopped") return { wasRunning: false, exit: undefined };
    const key = `${ns}/${record.id}`;
    const grace = new Grace(graceMs(record, options));
    this.#graces.set(key, grace);
    try {
      const exit = await stopTask(this.#tasks, ref, options.signal ?? signalOf(record), grace);
      return { wasRunning: true, exit };
    } finally {
      grace.stop();
      this.#graces.delete(key);
    }
  }

  /**
   * Replaces a task that has exited, or was never started, with a running one; `log`: an additional target of its
   * output.
   */
  async #renew(ns: string, id: string, log = ""): Promise<{ pid: number }> {
    const ref = { namespace: ns, id };
    const record = this.#containers.get(ns, id);
    const before = taskOf(this.#tasks, ref);
    if (before !== undefined) await ignoreMissing(this.#tasks.delete(ref));
    const stdio = detachedStdio(record, before?.stdio, log);
    await this.#tasks.create(ns, { containerId: id, rootfs: [], ...stdio });
    try {
      return await this.#tasks.start(ref);
    } catch (error) {
      // A client was faster: it is running.
      const task = taskOf(this.#tasks, ref);
      if (task !== undefined && isUp(task)) return { pid: task.pid };
      await this.#tasks.discard(ref);
      throw error;
    }
  }

  /** Stops and removes a task whose container's record is gone. */
  forget(ns: string, id: string): Promise<void> {
    return this.#locks.run(`${ns}/${id}`, () => this.#tasks.discard({ namespace: ns, id }));
  }
}

function graceMs(record: ContainerRecord, { seconds }: StopOptions): number {
  const own = Number(record.labels[LABEL.stopTimeout] ?? DEFAULT_GRACE_S);
  const chosen = seconds ?? (Number.isSafeInteger(own) ? own : DEFAULT_GRACE_S);
  return chosen < 0 ? Number.POSITIVE_INFINITY : chosen * 1000;
}

function signalOf(record: ContainerRecord): number {
  const text = record.labels[LABEL.stopSignal];
  return text === undefined ? SIGTERM : signalNumber(text);
}

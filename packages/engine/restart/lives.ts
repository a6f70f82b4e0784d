/**
 * Stopping and restarting a container, whole: one after the other for the same container, and a second request for the
 * same joins the first.
 */
import { isCode, stage } from "@berth/base";
import { signalNumber } from "@berth/runtime";
import type { Exit, ProcessRef, TaskShim } from "@berth/shim";
import type { ContainerRecord, ContainerStore } from "../containers/local.ts";
import { KeyedMutex } from "../core/mutex.ts";
import type { TaskManager } from "../tasks/local.ts";
import { Grace } from "./grace.ts";
import { STOP_SIGNAL, STOP_TIMEOUT } from "./labels.ts";
import { detachedStdio } from "./stdio.ts";
import { stopTask, taskOf } from "./stop.ts";

const SIGTERM = 15;
const SIGKILL = 9;
/** docker's. */
const DEFAULT_GRACE_S = 10;

/** How to stop. */
export interface StopWishes {
  /** Grace period in seconds; negative for ever, undefined for the container's own. */
  seconds: number | undefined;
  /** Undefined for the container's own. */
  signal: number | undefined;
}

/** What a stop found. */
export interface Stopped {
  wasRunning: boolean;
  exit: Exit | undefined;
}

/** Told before somebody stops a container; after that, its end is meant. */
export type OnStop = (ns: string, id: string) => void;

/** See the module comment. */
export class Lives {
  readonly #tasks: TaskManager;
  readonly #shim: TaskShim;
  readonly #containers: ContainerStore;
  readonly #locks = new KeyedMutex();
  readonly #graces = new Map<string, Grace>();
  readonly #stops = new Map<string, Promise<Stopped>>();
  readonly #restarts = new Map<string, Promise<{ pid: number }>>();
  readonly #watchers = new Set<OnStop>();

  constructor(tasks: TaskManager, shim: TaskShim, containers: ContainerStore) {
    this.#tasks = tasks;
    this.#shim = shim;
    this.#containers = containers;
  }

  /** Calls `watcher` before each stop that somebody asks for. */
  onStop(watcher: OnStop): void {
    this.#watchers.add(watcher);
  }

  /**
   * Stops a container; at once when it does not run. "not_found" without such a container. With `byHand` false it is not
   * somebody's wish: the watchers are not told.
   */
  stop(ns: string, id: string, wishes: StopWishes, byHand = true): Promise<Stopped> {
    const record = this.#containers.get(ns, id);
    return this.#join("containers.Stop", this.#stops, ns, record, wishes, () =>
      this.#stop(ns, record, wishes, byHand),
    );
  }

  /** Stops a container if it runs, and starts it anew. */
  restart(ns: string, id: string, wishes: StopWishes): Promise<{ pid: number }> {
    const record = this.#containers.get(ns, id);
    return this.#join("containers.Restart", this.#restarts, ns, record, wishes, async () => {
      await this.#stop(ns, record, wishes, true);
      return this.#renew(ns, id);
    });
  }

  /**
   * Starts a container that has ended, when it is its turn and `still` says so; undefined when it does not, or when
   * somebody else has started it.
   */
  startAgain(ns: string, id: string, still: () => boolean): Promise<{ pid: number } | undefined> {
    return this.#locks.run(`${ns}/${id}`, async () => {
      const status = taskOf(this.#tasks, { namespace: ns, id })?.status;
      if (status === "running" || status === "paused" || status === "pausing" || !still()) return undefined;
      return stage("restart", { namespace: ns, container: id }, () => this.#renew(ns, id));
    });
  }

  /** Runs `work` for a container once nobody else works on it, or gives the promise of the one that already does. */
  #join<T>(
    name: string,
    running: Map<string, Promise<T>>,
    ns: string,
    record: ContainerRecord,
    wishes: StopWishes,
    work: () => Promise<T>,
  ): Promise<T> {
    const key = `${ns}/${record.id}`;
    // Whoever stops it now may be more patient than this caller is.
    this.#graces.get(key)?.atMost(graceMs(record, wishes));
    const first = running.get(key);
    if (first !== undefined) return first;
    const done = stage(name, { namespace: ns, container: record.id }, () => {
      const turn = Promise.withResolvers<void>();
      if (this.#locks.busy(key)) void stage("wait for another stop or restart", {}, () => turn.promise);
      return this.#locks.run(key, () => {
        turn.resolve();
        return work();
      });
    }).finally(() => running.delete(key));
    running.set(key, done);
    return done;
  }

  async #stop(ns: string, record: ContainerRecord, wishes: StopWishes, byHand: boolean): Promise<Stopped> {
    const ref = { namespace: ns, id: record.id };
    if (byHand) for (const watcher of this.#watchers) watcher(ns, record.id);
    const before = taskOf(this.#tasks, ref)?.status;
    if (before === undefined || before === "stopped") return { wasRunning: false, exit: undefined };
    const key = `${ns}/${record.id}`;
    const grace = new Grace(graceMs(record, wishes));
    this.#graces.set(key, grace);
    try {
      const exit = await stopTask(this.#tasks, ref, wishes.signal ?? signalOf(record), grace);
      return { wasRunning: true, exit };
    } finally {
      grace.stop();
      this.#graces.delete(key);
    }
  }

  /** Replaces a task that has ended, or was never started, by a new one that runs. */
  async #renew(ns: string, id: string): Promise<{ pid: number }> {
    const ref = { namespace: ns, id };
    const record = this.#containers.get(ns, id);
    const before = taskOf(this.#tasks, ref);
    if (before !== undefined) await ignoreMissing(this.#tasks.delete(ref));
    const stdio = detachedStdio(record, before?.stdio);
    this.#tasks.makeLogFolder(record);
    await this.#tasks.create(ns, { id, rootfs: [], stdio, options: undefined });
    try {
      const { pid } = await this.#tasks.start(ref);
      // A record that went meanwhile took no task with it: there was none then.
      this.#containers.get(ns, id);
      return { pid };
    } catch (error) {
      await this.#remove(ref);
      throw error;
    }
  }

  /** Ends and removes a task whose container has no record any more. */
  forget(ns: string, id: string): Promise<void> {
    return this.#locks.run(`${ns}/${id}`, () => this.#remove({ namespace: ns, id }));
  }

  /** Removes a task that nobody wants, also one whose container is gone. */
  async #remove(ref: ProcessRef): Promise<void> {
    await this.#shim.kill(ref, SIGKILL, true).catch(() => {});
    await this.#shim.wait(ref, AbortSignal.timeout(5000)).catch(() => {});
    await this.#shim.delete(ref).catch(() => {});
  }
}

function graceMs(record: ContainerRecord, { seconds }: StopWishes): number {
  const own = Number(record.labels[STOP_TIMEOUT] ?? DEFAULT_GRACE_S);
  const chosen = seconds ?? (Number.isSafeInteger(own) ? own : DEFAULT_GRACE_S);
  return chosen < 0 ? Number.POSITIVE_INFINITY : chosen * 1000;
}

function signalOf(record: ContainerRecord): number {
  const text = record.labels[STOP_SIGNAL];
  return text === undefined ? SIGTERM : signalNumber(text);
}

async function ignoreMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
}

/**
 * The restart monitor: restarts containers after they exit. It acts on events, and keeps its state in labels, so that
 * it resumes after a restart of the daemon (or the machine).
 *
 * Two sets of labels, each with its own rules: berth's mean what docker's --restart means, containerd's mean what its
 * monitor makes of them. Unlike both, it retries a failed start, as if the container had exited.
 */
import { CONTAINERD_LABEL, eventTypes, LABEL, nanoseconds } from "@berth/api";
import { type Clock, isCode, log, SIGKILL, signalNumber, systemClock } from "@berth/base";
import type { TaskEvent, TaskState } from "@berth/shim";
import { fromBinary } from "@bufbuild/protobuf";
import { now, parseRfc3339, rfc3339 } from "../../base/core/time.ts";
import type { EventBus, Published } from "../../base/events/event-bus.ts";
import type { Database } from "../../base/store/database.ts";
import type { ContainerRecord, ContainerStore } from "../../objects/containers/container-store.ts";
import type { TaskManager } from "../tasks/task-manager.ts";
import { isUp, taskOf } from "../tasks/task-state.ts";
import {
  backOff,
  intentOf,
  type RestartIntent,
  restartCount,
  restartsNow,
  stoppedByHand,
} from "./restart-rules.ts";
import { Slots } from "./slots.ts";
import type { Supervisor } from "./supervisor.ts";

/** Concurrent starts. */
const STARTS = 4;
/** Interval of containerd's reconciliation of tasks with labels, in milliseconds. */
const RECONCILE_MS = 10_000;
/** Exit status of a container lost in a reboot, and of one that could not be started; docker's. */
const LOST = 255;
const NOT_STARTED = 128;

/** Dependencies of the monitor. */
export interface MonitorParts {
  db: Database;
  containers: ContainerStore;
  events: EventBus;
  tasks: TaskManager;
  supervisor: Supervisor;
  /** Measures how long a container ran; monotonic. Default: the machine's. */
  clock?: Pick<Clock, "monotonic">;
}

/** A container that was started, is running, or waits for its next start. */
interface Watched {
  readonly ns: string;
  readonly id: string;
  /** When it was last started, in the clock's monotonic milliseconds; undefined while it does not run. */
  startedAt: number | undefined;
  /** Its exit is intended. */
  canceled: boolean;
  backOffMs: number;
  /** Timer of its next start. */
  timer: NodeJS.Timeout | undefined;
  /** A start by this monitor is in progress. */
  starting: boolean;
}

/** Watches containers and restarts them. */
export class RestartMonitor {
  readonly #parts: MonitorParts;
  readonly #watched = new Map<string, Watched>();
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #slots = new Slots(STARTS);
  #stopListening: () => void = () => {};
  /** Containers with containerd's labels, to be reconciled. */
  readonly #unsettled = new Set<string>();
  #reconciler: NodeJS.Timeout | undefined;
  #running = false;

  constructor(parts: MonitorParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
  }

  /**
   * Starts containers that should be running after the daemon (or the machine) was down, and from now on those that
   * exit.
   */
  start(): void {
    const { events, supervisor } = this.#parts;
    this.#running = true;
    this.#stopListening = events.listen((event) => this.#onContainer(event));
    supervisor.onStop((ns, id) => this.stoppedByHand(ns, id));
    this.#takeOver();
  }

  /** Stops restarting; containers are left as they are. */
  close(): void {
    this.#running = false;
    this.#stopListening();
    clearTimeout(this.#reconciler);
    for (const { timer } of this.#watched.values()) clearTimeout(timer);
  }

  /** Number of containers waiting for their next start. */
  get waiting(): number {
    return [...this.#watched.values()].filter(({ timer }) => timer !== undefined).length;
  }

  #of(ns: string, id: string): Watched {
    const key = `${ns}/${id}`;
    let found = this.#watched.get(key);
    if (found === undefined) {
      const fresh = {
        startedAt: undefined,
        canceled: false,
        backOffMs: 0,
        timer: undefined,
        starting: false,
      };
      found = { ns, id, ...fresh };
      this.#watched.set(key, found);
    }
    return found;
  }

  #forget(ns: string, id: string): void {
    const key = `${ns}/${id}`;
    clearTimeout(this.#watched.get(key)?.timer);
    this.#watched.delete(key);
  }

  /** Handles a task's event. */
  onTask(event: TaskEvent): void {
    if (!this.#running) return;
    const { namespace: ns, id } = event;
    if (event.topic === "/tasks/start") this.#onStart(this.#of(ns, id));
    else if (event.topic === "/tasks/exit" && event.execId === "") this.#onExit(ns, id, event.exitStatus);
    else if (event.topic === "/tasks/delete" && event.execId === "") this.#reconcileLater(ns, id);
  }

  #onStart(watched: Watched): void {
    const byMonitor = watched.starting;
    watched.starting = false;
    watched.canceled = false;
    watched.startedAt = this.#clock.monotonic();
    if (!byMonitor) watched.backOffMs = 0;
    clearTimeout(watched.timer);
    watched.timer = undefined;
    // The client is answered first.
    setImmediate(() => this.#quietly(watched, (record) => this.#noteStart(watched, record, byMonitor)));
  }

  #noteStart({ ns, id }: Watched, record: ContainerRecord, byMonitor: boolean): void {
    const { containers } = this.#parts;
    const intent = intentOf(record.labels);
    if (intent === undefined) return;
    if (intent.rules === "docker") {
      const again = byMonitor ? {} : { [LABEL.restartCount]: "", [LABEL.stoppedByHand]: "" };
      containers.note(ns, id, { [LABEL.startedAt]: rfc3339(now()), [LABEL.restartAt]: "", ...again });
    } else if (!byMonitor && intent.desired === "stopped" && stoppedByHand(intent.rules, record.labels)) {
      // A container stopped by hand is started by hand.
      containers.note(ns, id, {
        [CONTAINERD_LABEL.restartStatus]: "running",
        [CONTAINERD_LABEL.explicitlyStopped]: "false",
      });
    } else this.#reconcileLater(ns, id);
  }

  #onExit(ns: string, id: string, exitStatus: number): void {
    const watched = this.#watched.get(`${ns}/${id}`);
    // The client gets the error of a failed start.
    if (watched?.startedAt === undefined) return;
    const ranMs = this.#clock.monotonic() - watched.startedAt;
    watched.startedAt = undefined;
    setImmediate(() => this.#quietly(watched, (record) => this.#ended(watched, record, exitStatus, ranMs)));
  }

  /** Decides about a container that has exited. */
  #ended(watched: Watched, record: ContainerRecord, exitStatus: number, ranMs: number): void {
    const { ns, id } = watched;
    const intent = wanted(record);
    if (intent === undefined) {
      this.#forget(ns, id);
      return;
    }
    const count = restartCount(intent.rules, record.labels);
    const byHand = stoppedByHand(intent.rules, record.labels);
    const again = !watched.canceled && restartsNow(intent, { exitStatus, byHand, count });
    if (!this.#running || watched.startedAt !== undefined) return;
    if (!again) {
      this.#settle(watched, record);
      return;
    }
    const ms = backOff(watched.backOffMs, ranMs);
    watched.backOffMs = intent.rules === "docker" ? ms : Math.min(ms, RECONCILE_MS);
    const due = rfc3339(now() + BigInt(watched.backOffMs) * 1_000_000n);
    this.#parts.containers.note(
      ns,
      id,
      intent.rules === "docker"
        ? { [LABEL.restartCount]: String(count + 1), [LABEL.restartAt]: due }
        : { [CONTAINERD_LABEL.restartCount]: String(count + 1) },
    );
    this.#startIn(watched, watched.backOffMs);
  }

  /** Cancels a pending start of a container that stays as it is. */
  #settle({ ns, id }: Watched, record: ContainerRecord): void {
    if (record.labels[LABEL.restartAt] !== undefined)
      this.#parts.containers.note(ns, id, { [LABEL.restartAt]: "" });
  }

  #startIn(watched: Watched, ms: number): void {
    clearTimeout(watched.timer);
    watched.timer = setTimeout(() => {
      this.#slots
        .run(() => this.#startAgain(watched))
        .catch((error) => log.error("a restart went wrong", { container: watched.id, error: String(error) }));
    }, ms);
  }

  async #startAgain(watched: Watched): Promise<void> {
    const { ns, id } = watched;
    try {
      await this.#parts.supervisor.startAgain(ns, id, () => {
        // A stop meanwhile has cleared the timer.
        if (watched.timer === undefined || !this.#running) return false;
        watched.timer = undefined;
        watched.starting = true;
        return true;
      });
    } catch (error) {
      watched.starting = false;
      const record = this.#parts.containers.find(ns, id);
      if (record === undefined) {
        this.#forget(ns, id);
        return;
      }
      log.warn("a container could not be started again", { container: id, error: String(error) });
      this.#ended(watched, record, NOT_STARTED, 0);
    }
  }

  /** A client stops the container: its exit is intended, and a pending start is cancelled. */
  stoppedByHand(ns: string, id: string): void {
    const record = this.#parts.containers.find(ns, id);
    const intent = record === undefined ? undefined : intentOf(record.labels);
    if (intent === undefined) return;
    this.#cancel(ns, id);
    const notes: Record<string, string> =
      intent.rules === "docker"
        ? { [LABEL.stoppedByHand]: "true", [LABEL.restartAt]: "" }
        : { [CONTAINERD_LABEL.explicitlyStopped]: "true", [CONTAINERD_LABEL.restartStatus]: "stopped" };
    this.#parts.containers.note(ns, id, notes);
  }

  #cancel(ns: string, id: string): void {
    const watched = this.#of(ns, id);
    watched.canceled = true;
    clearTimeout(watched.timer);
    watched.timer = undefined;
  }

  /**
   * A client signals the container's process. By docker's rules SIGKILL and the container's stop signal count as a
   * stop; without a stop signal of its own, any signal does. Returns true if it was waiting for a start: then there
   * is no process to signal.
   */
  killed(ns: string, id: string, signal: number): boolean {
    const record = this.#parts.containers.find(ns, id);
    if (record === undefined || intentOf(record.labels)?.rules !== "docker") return false;
    const waited = this.#watched.get(`${ns}/${id}`)?.timer !== undefined;
    const own = record.labels[LABEL.stopSignal];
    if (own === undefined || signal === SIGKILL || signalNumber(own) === signal) this.#cancel(ns, id);
    this.#parts.containers.note(ns, id, {
      [LABEL.stoppedByHand]: "true",
      ...(waited ? { [LABEL.restartAt]: "" } : {}),
    });
    return waited && this.#watched.get(`${ns}/${id}`)?.timer === undefined;
  }

  #onContainer({ envelope }: Published): void {
    const { topic, namespace: ns, event } = envelope;
    if (event === undefined || !topic.startsWith("/containers/")) return;
    switch (topic) {
      case "/containers/create":
        this.#reconcileLater(ns, fromBinary(eventTypes.ContainerCreateSchema, event.value).id);
        break;
      case "/containers/update":
        this.#onUpdate(ns, fromBinary(eventTypes.ContainerUpdateSchema, event.value).id);
        break;
      case "/containers/delete":
        this.#forget(ns, fromBinary(eventTypes.ContainerDeleteSchema, event.value).id);
    }
  }

  /** Labels may have changed: a container whose policy was removed no longer waits for a start. */
  #onUpdate(ns: string, id: string): void {
    const record = this.#parts.containers.find(ns, id);
    if (record === undefined) return;
    const watched = this.#watched.get(`${ns}/${id}`);
    if (wanted(record) === undefined && watched?.timer !== undefined) {
      clearTimeout(watched.timer);
      watched.timer = undefined;
      this.#settle(watched, record);
    }
    this.#reconcileLater(ns, id);
  }

  #reconcileLater(ns: string, id: string): void {
    this.#unsettled.add(`${ns}/${id}`);
    if (this.#reconciler !== undefined || !this.#running) return;
    this.#reconciler = setTimeout(() => {
      this.#reconciler = undefined;
      const keys = [...this.#unsettled];
      this.#unsettled.clear();
      for (const key of keys) {
        const slash = key.indexOf("/");
        this.#reconcile(key.slice(0, slash), key.slice(slash + 1));
      }
    }, RECONCILE_MS).unref();
  }

  /** Makes the task match containerd's labels. */
  #reconcile(ns: string, id: string): void {
    const { containers, tasks, supervisor } = this.#parts;
    const record = containers.find(ns, id);
    const intent = record === undefined ? undefined : wanted(record);
    if (record === undefined || intent?.rules !== "containerd") return;
    const alive = isUp(taskOf(tasks, { namespace: ns, id }));
    if (intent.desired === "stopped" && alive)
      supervisor.stop(ns, id, { seconds: 0, signal: SIGKILL }, false).catch((error) => {
        log.warn("a container that is to be stopped was not", { container: id, error: String(error) });
        this.#reconcileLater(ns, id);
      });
    else if (intent.desired === "running" && !alive) {
      const watched = this.#of(ns, id);
      if (watched.timer !== undefined || watched.starting) return;
      this.#ended(watched, record, Number(record.labels[LABEL.exitCode] ?? 0), 0);
    }
  }

  /** Starts containers that should be running, in creation order. */
  #takeOver(): void {
    const { db, containers, tasks: manager } = this.#parts;
    const due: { watched: Watched; made: bigint }[] = [];
    for (const { name: ns } of db.all("SELECT name FROM namespaces") as { name: string }[]) {
      const tasks = new Map(manager.list(ns).map((task) => [task.id, task]));
      for (const record of containers.list(ns)) {
        const task = tasks.get(record.id);
        const made = nanoseconds(record.createdAt) ?? 0n;
        if (this.#takeOverOne(ns, record, task)) due.push({ watched: this.#of(ns, record.id), made });
      }
    }
    due.sort((a, b) => (a.made < b.made ? -1 : 1));
    for (const { watched } of due) this.#startIn(watched, 0);
  }

  /** Whether the container is to be started after the daemon was down. */
  #takeOverOne(ns: string, record: ContainerRecord, task: TaskState | undefined): boolean {
    const { id, labels } = record;
    const intent = wanted(record);
    if (isUp(task)) {
      const watched = this.#of(ns, id);
      watched.startedAt = this.#clock.monotonic() - ageOf(labels);
      watched.canceled = intent?.rules === "docker" && stoppedByHand(intent.rules, labels);
      if (intent?.rules === "containerd") this.#reconcileLater(ns, id);
      return false;
    }
    if (intent === undefined) return false;
    // A created task that was not started waits for its client, unless this monitor created it.
    if (task?.status === "created" && intent.rules === "docker" && labels[LABEL.restartAt] === undefined)
      return false;
    if (intent.rules === "docker") {
      const started = labels[LABEL.startedAt] !== undefined || labels[LABEL.exitCode] !== undefined;
      if (!started) return false;
    }
    const exitStatus =
      task?.status === "stopped" ? task.exitStatus : this.#recorded(ns, record, intent.rules === "docker");
    const byHand = stoppedByHand(intent.rules, labels);
    const count = restartCount(intent.rules, labels);
    if (restartsNow(intent, { exitStatus, byHand, count })) {
      const reset = {
        [LABEL.restartCount]: "",
        [LABEL.stoppedByHand]: "",
        [LABEL.restartAt]: rfc3339(now()),
      };
      const counted = { [CONTAINERD_LABEL.restartCount]: String(count + 1) };
      this.#parts.containers.note(ns, id, intent.rules === "docker" ? reset : counted);
      return true;
    }
    if (labels[LABEL.restartAt] !== undefined) this.#parts.containers.note(ns, id, { [LABEL.restartAt]: "" });
    return false;
  }

  /** The exit status of a container without a task; one lost in a reboot gets one. */
  #recorded(ns: string, { id, labels }: ContainerRecord, ran: boolean): number {
    if (labels[LABEL.exitCode] !== undefined) return Number(labels[LABEL.exitCode]);
    if (!ran) return 0;
    this.#parts.containers.note(ns, id, {
      [LABEL.exitCode]: String(LOST),
      [LABEL.finishedAt]: rfc3339(now()),
    });
    return LOST;
  }

  #quietly({ ns, id }: Watched, work: (record: ContainerRecord) => void): void {
    try {
      const record = this.#parts.containers.find(ns, id);
      if (record === undefined) this.#forget(ns, id);
      else work(record);
    } catch (error) {
      if (!isCode(error, "not_found")) log.error("restart monitor", { container: id, error: String(error) });
    }
  }
}

/** The restart intent in the labels; none for containers to be removed automatically. */
function wanted(record: ContainerRecord): RestartIntent | undefined {
  return record.labels[LABEL.autoRemove] === undefined ? intentOf(record.labels) : undefined;
}

/** Milliseconds since the start recorded in the labels; without one, assumes a long run. */
function ageOf(labels: Readonly<Record<string, string>>): number {
  const at = parseRfc3339(labels[LABEL.startedAt] ?? "");
  return at === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Number((now() - at) / 1_000_000n));
}

/**
 * The lifecycle of containers. This alone decides what follows the end of a task: that it is recorded, that the
 * container is restarted ({@link RestartMonitor}), or removed ({@link AutoRemoval}). Clients' compound operations
 * (start, stop, restart, remove) are in {@link Supervisor}.
 */
import { eventTypes, LABEL, type types } from "@berth/api";
import { type Clock, ignoreMissing, log, stage } from "@berth/base";
import type { TaskEvent } from "@berth/shim";
import { fromBinary } from "@bufbuild/protobuf";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { Database } from "../../base/store/database.ts";
import type { ContainerRecord, ContainerStore } from "../../objects/containers/container-store.ts";
import type { TaskHooks } from "../tasks/hooks.ts";
import type { TaskManager } from "../tasks/task-manager.ts";
import { taskOf } from "../tasks/task-state.ts";
import { AutoRemoval } from "./auto-removal.ts";
import { ExitNotes } from "./exit-notes.ts";
import { RestartMonitor } from "./restart-monitor.ts";
import { Supervisor } from "./supervisor.ts";

/** Dependencies of the lifecycle. */
export interface LifecycleParts {
  db: Database;
  containers: ContainerStore;
  events: EventBus;
  tasks: TaskManager;
  /** Measures how long a container ran; monotonic. Default: the machine's. */
  clock?: Pick<Clock, "monotonic">;
}

/** Reacts to the task manager's events. */
export class Lifecycle implements TaskHooks {
  readonly supervisor: Supervisor;
  readonly monitor: RestartMonitor;
  readonly #parts: LifecycleParts;
  readonly #notes: ExitNotes;
  readonly #autoRemoval: AutoRemoval;
  readonly #stopListening: () => void;

  constructor(parts: LifecycleParts) {
    const { containers, tasks, events } = parts;
    this.#parts = parts;
    this.supervisor = new Supervisor(tasks, containers);
    this.monitor = new RestartMonitor({ ...parts, supervisor: this.supervisor });
    this.#notes = new ExitNotes(containers);
    this.#autoRemoval = new AutoRemoval({
      find: (ns, id) => containers.find(ns, id),
      taskOf: (namespace, id) => taskOf(tasks, { namespace, id }),
      note: (ns, id, labels) => containers.note(ns, id, labels),
      remove: (ns, id) =>
        stage("auto-remove", { namespace: ns, container: id }, () => ignoreMissing(tasks.remove(ns, id))),
    });
    this.#stopListening = events.listen(({ envelope }) => this.#onEnvelope(envelope));
    tasks.attach(this);
  }

  /** Resumes the work of an earlier daemon; call it once its tasks are known. */
  recover(): void {
    const { db, containers, tasks } = this.#parts;
    for (const { name: ns } of db.all("SELECT name FROM namespaces") as { name: string }[]) {
      const known = new Map(tasks.list(ns).map((task) => [task.id, task]));
      for (const record of containers.list(ns)) {
        const task = known.get(record.id);
        if (task?.status === "stopped") this.#notes.recover(ns, record, task);
        this.#autoRemoval.recovered(ns, record, task);
      }
    }
  }

  #onEnvelope({ namespace, topic, event }: types.Envelope): void {
    if (topic !== "/containers/create" || event === undefined) return;
    const { id } = fromBinary(eventTypes.ContainerCreateSchema, event.value);
    const record = this.#parts.containers.find(namespace, id);
    if (record !== undefined) this.#autoRemoval.made(namespace, record);
  }

  onEvent(event: TaskEvent): void {
    const { namespace, id } = event;
    try {
      if (event.topic === "/tasks/start") this.#autoRemoval.started(namespace, id);
      if (event.topic === "/tasks/exit" && event.execId === "") {
        this.#notes.soon(namespace, id, event);
        this.#autoRemoval.ended(namespace, id);
      }
      if (event.topic === "/tasks/oom")
        this.#parts.containers.note(namespace, id, { [LABEL.oomCgroup]: event.cgroup ?? "/" });
    } catch (error) {
      log.error("an event could not be noted down", { container: id, error: String(error) });
    }
    this.monitor.onTask(event);
  }

  creating(ns: string, record: ContainerRecord): void {
    this.#autoRemoval.made(ns, record);
  }

  created(ns: string, record: ContainerRecord): void {
    this.#notes.clear(ns, record);
  }

  killing(ns: string, id: string, signal: number): boolean {
    return this.monitor.killed(ns, id, signal);
  }

  deleting(ns: string, id: string): void {
    this.#notes.now(ns, id);
  }

  removed(ns: string, id: string): void {
    this.#autoRemoval.keep(ns, id);
    this.#notes.forget(ns, id);
  }

  /** Stops acting; containers are left as they are. */
  close(): void {
    this.#stopListening();
    this.monitor.close();
    this.#notes.close();
    this.#autoRemoval.close();
  }
}

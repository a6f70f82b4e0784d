/**
 * Removes containers with the auto-remove label: once their task has ended, or when the command that created them
 * died before starting them. A failed removal is retried.
 */
import { LABEL } from "@berth/api";
import { log } from "@berth/base";
import type { TaskState } from "@berth/shim";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";
import { isUp } from "../tasks/task-state.ts";

/** Time for a client to collect the exit status, in milliseconds. */
const AFTER_END_MS: ReadonlyMap<string | undefined, number> = new Map([
  ["true", 300],
  ["detached", 300],
  ["attached", 10_000],
]);
/** Time for a command to start the container it created, in milliseconds. */
const UNSTARTED_MS = 60_000;
/** First delay before a failed removal is retried, in milliseconds; doubled each time. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** Operations needed for a removal. */
export interface AutoRemovalParts {
  /** The container; undefined if it is gone. */
  find(ns: string, id: string): ContainerRecord | undefined;
  /** The container's task; undefined if there is none. */
  taskOf(ns: string, id: string): TaskState | undefined;
  /** Sets labels of a container. */
  note(ns: string, id: string, labels: { [key: string]: string }): void;
  /** Removes a container whose task does not run. */
  remove(ns: string, id: string): Promise<void>;
}

/** Whether the command that created it was to start it. */
function startsAtOnce(record: ContainerRecord): boolean {
  const value = record.labels[LABEL.autoRemove];
  return value === "detached" || value === "attached";
}

/** Schedules and performs automatic removals. */
export class AutoRemoval {
  readonly #parts: AutoRemovalParts;
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(parts: AutoRemovalParts) {
    this.#parts = parts;
  }

  /** A container or its task was created: it waits for its start. */
  made(ns: string, record: ContainerRecord): void {
    this.keep(ns, record.id);
    if (startsAtOnce(record)) this.#later(ns, record.id, UNSTARTED_MS);
  }

  /** A container was started. */
  started(ns: string, id: string): void {
    this.keep(ns, id);
    const labels = this.#parts.find(ns, id)?.labels;
    if (labels?.[LABEL.autoRemove] === "true" && labels[LABEL.wasStarted] === undefined)
      this.#parts.note(ns, id, { [LABEL.wasStarted]: "true" });
  }

  /** A container's task has ended. */
  ended(ns: string, id: string): void {
    const delay = AFTER_END_MS.get(this.#parts.find(ns, id)?.labels[LABEL.autoRemove]);
    if (delay === undefined) return;
    this.keep(ns, id);
    this.#later(ns, id, delay);
  }

  /**
   * Called for each container when the daemon starts: the client that was to start it has lost its connection, and
   * does not come back.
   */
  recovered(ns: string, record: ContainerRecord, task: TaskState | undefined): void {
    const delay = AFTER_END_MS.get(record.labels[LABEL.autoRemove]);
    if (delay === undefined) return;
    this.keep(ns, record.id);
    const unstarted = task === undefined || task.status === "created";
    const { labels } = record;
    if (task?.status === "stopped" || (task === undefined && labels[LABEL.exitCode] !== undefined))
      this.#later(ns, record.id, delay);
    else if (
      unstarted &&
      (startsAtOnce(record) || (task === undefined && labels[LABEL.wasStarted] !== undefined))
    )
      this.#later(ns, record.id, 0);
  }

  /** Cancels the removal of a container that is in use again, or gone. */
  keep(ns: string, id: string): void {
    const key = `${ns}/${id}`;
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }

  #later(ns: string, id: string, delay: number, again = RETRY_MS): void {
    const key = `${ns}/${id}`;
    if (this.#timers.has(key)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.#remove(ns, id).catch((error) => {
        log.warn("a container could not be removed after its end", { container: id, error: String(error) });
        this.#later(ns, id, again, Math.min(2 * again, MAX_RETRY_MS));
      });
    }, delay);
    this.#timers.set(key, timer);
  }

  /** Removes a container, unless it was removed or started in the meantime. */
  async #remove(ns: string, id: string): Promise<void> {
    if (this.#parts.find(ns, id) === undefined) return;
    if (!isUp(this.#parts.taskOf(ns, id))) await this.#parts.remove(ns, id);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}

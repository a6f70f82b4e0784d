/** What the task manager reports while it works, for the one who decides what becomes of a container. */
import type { TaskEvent } from "@berth/shim";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";

/** Called synchronously, at the moment the name says. */
export interface TaskHooks {
  /** Something happened to a task; clients have not heard of it yet. */
  onEvent(event: TaskEvent): void;
  /** A task is about to be made for the container. */
  creating(ns: string, record: ContainerRecord): void;
  /** A task was made. */
  created(ns: string, record: ContainerRecord): void;
  /**
   * A client is about to signal the container's process. True: the container was waiting for its next start, and does not
   * any more.
   */
  killing(ns: string, id: string, signal: number): boolean;
  /** The task is about to be deleted, and with it the only other record of how it ended. */
  deleting(ns: string, id: string): void;
  /** The container is gone. */
  removed(ns: string, id: string): void;
}

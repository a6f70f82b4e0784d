/** Hooks of the task manager, for the component that decides about a container's lifecycle. */
import type { TaskEvent } from "@berth/shim";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";

/** Called synchronously, at the moment that the name says. */
export interface TaskHooks {
  /** A task's event, before it is published to clients. */
  onEvent(event: TaskEvent): void;
  /** A task is about to be created for the container. */
  creating(ns: string, record: ContainerRecord): void;
  /** A task was created. */
  created(ns: string, record: ContainerRecord): void;
  /**
   * A client is about to signal the container's process. Returns true if the container was waiting for its next
   * start, which is now cancelled.
   */
  killing(ns: string, id: string, signal: number): boolean;
  /** The task is about to be deleted, and with it the only other record of its exit. */
  deleting(ns: string, id: string): void;
  /** The container is gone. */
  removed(ns: string, id: string): void;
}

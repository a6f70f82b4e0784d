/** How a container's last task ended, kept as labels of the container for when the task is gone. */
import { LABEL } from "@berth/api";
import { log } from "@berth/base";
import type { Exit } from "@berth/shim";
import { rfc3339 } from "../../base/core/time.ts";
import type { ContainerRecord, ContainerStore } from "../../objects/containers/container-store.ts";

/** See the module comment. */
export class ExitNotes {
  readonly #containers: Pick<ContainerStore, "note">;
  /** Exits that are not written yet. */
  readonly #pending = new Map<string, () => void>();

  constructor(containers: Pick<ContainerStore, "note">) {
    this.#containers = containers;
  }

  /**
   * Writes an exit once those who wait for it have been answered: writing takes longer than telling. Until the task is
   * deleted the shim has it too, so nothing is lost in between.
   */
  soon(ns: string, id: string, exit: Exit): void {
    this.#pending.set(`${ns}/${id}`, () => this.#write(ns, id, exit));
    setImmediate(() => this.now(ns, id));
  }

  /** Writes an exit that {@link soon} has put off. */
  now(ns: string, id: string): void {
    const key = `${ns}/${id}`;
    const write = this.#pending.get(key);
    this.#pending.delete(key);
    try {
      write?.();
    } catch (error) {
      log.error("an exit could not be noted down", { container: id, error: String(error) });
    }
  }

  /** Writes an exit of a task that an earlier daemon left, unless it did that. */
  recover(ns: string, record: ContainerRecord, exit: Exit): void {
    // Most are written: a start on a full disk has no room to say everything again.
    if (record.labels[LABEL.finishedAt] !== rfc3339(exit.exitedAt)) this.#write(ns, record.id, exit);
  }

  #write(ns: string, id: string, exit: Exit): void {
    this.#containers.note(ns, id, {
      [LABEL.exitCode]: String(exit.exitStatus),
      [LABEL.finishedAt]: rfc3339(exit.exitedAt),
    });
  }

  /** The container has a new task: how the last one ended is history. */
  clear(ns: string, { id, labels }: ContainerRecord): void {
    if (labels[LABEL.exitCode] === undefined && labels[LABEL.oomCgroup] === undefined) return;
    this.#containers.note(ns, id, {
      [LABEL.exitCode]: "",
      [LABEL.finishedAt]: "",
      [LABEL.oomCgroup]: "",
    });
  }

  /** The container is gone. */
  forget(ns: string, id: string): void {
    this.#pending.delete(`${ns}/${id}`);
  }

  /** Writes what is left. */
  close(): void {
    for (const key of [...this.#pending.keys()]) {
      const slash = key.indexOf("/");
      this.now(key.slice(0, slash), key.slice(slash + 1));
    }
  }
}

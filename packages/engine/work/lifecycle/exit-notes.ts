/** How a container's last task ended, kept in labels of the container for when the task is gone. */
import { LABEL } from "@berth/api";
import { log } from "@berth/base";
import type { Exit } from "@berth/shim";
import { rfc3339 } from "../../base/core/time.ts";
import type { ContainerRecord, ContainerStore } from "../../objects/containers/container-store.ts";

/** Writes exits to labels. */
export class ExitNotes {
  readonly #containers: Pick<ContainerStore, "note">;
  /** Exits that are not written yet. */
  readonly #pending = new Map<string, () => void>();

  constructor(containers: Pick<ContainerStore, "note">) {
    this.#containers = containers;
  }

  /**
   * Writes an exit after waiting clients have been answered: writing takes longer than answering. Until the task is
   * deleted the shim has it too, so nothing is lost in between.
   */
  soon(ns: string, id: string, exit: Exit): void {
    this.#pending.set(`${ns}/${id}`, () => this.#write(ns, id, exit));
    setImmediate(() => this.now(ns, id));
  }

  /** Writes an exit that {@link soon} has deferred. */
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

  /** Writes an exit of a task left by an earlier daemon, unless that daemon did. */
  recover(ns: string, record: ContainerRecord, exit: Exit): void {
    // Most are written already: a start on a full disk has no space to write them all again.
    if (record.labels[LABEL.finishedAt] !== rfc3339(exit.exitedAt)) this.#write(ns, record.id, exit);
  }

  #write(ns: string, id: string, exit: Exit): void {
    this.#containers.note(ns, id, {
      [LABEL.exitCode]: String(exit.exitStatus),
      [LABEL.finishedAt]: rfc3339(exit.exitedAt),
    });
  }

  /** The container has a new task: the previous exit no longer applies. */
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

  /** Writes the deferred exits. */
  close(): void {
    for (const key of [...this.#pending.keys()]) {
      const slash = key.indexOf("/");
      this.now(key.slice(0, slash), key.slice(slash + 1));
    }
  }
}

/** Who keeps the serving process alive: containers, sandboxes, and those that have been announced. */
import { BerthError, log } from "@berth/base";
import type { LogFifo } from "./log-fifo.ts";

/** How long an announced container may take to be created: containerd sets up its mounts first. */
const EXPECTED_MS = 60_000;
/** How long an empty process stays: the next container comes cheaper to one that is there. */
const LINGER_MS = 200;

/** See the module comment. */
export class Residents {
  readonly #log: LogFifo;
  readonly #end: () => void;
  /** Names of what is here ("" never is one), with the timer of those that have only been announced. */
  readonly #here = new Map<string, NodeJS.Timeout | undefined>();
  readonly #bundles = new Map<string, string>();
  #lingering: NodeJS.Timeout | undefined;
  #ended = false;

  /** `end` is called once, when nobody is here any more. */
  constructor(fifo: LogFifo, end: () => void) {
    this.#log = fifo;
    this.#end = end;
  }

  has(id: string): boolean {
    return this.#here.has(id) && this.#here.get(id) === undefined;
  }

  /** Is nobody here, but who was announced at most? */
  get isEmpty(): boolean {
    return [...this.#here.values()].every((timer) => timer !== undefined);
  }

  /** Has it been announced, and not come yet? */
  isAnnounced(id: string): boolean {
    return this.#here.get(id) !== undefined;
  }

  /** The bundle that something was announced with, or came with. */
  bundleOf(id: string): string | undefined {
    return this.#bundles.get(id);
  }

  /** A container will come; "unavailable" when it is too late for that. */
  expect(id: string, bundle: string): void {
    if (this.#ended) throw new BerthError("unavailable", "the shim is about to end", { stage: "shim" });
    this.#note(id, bundle);
    if (this.has(id)) return;
    clearTimeout(this.#here.get(id));
    this.#arrive(
      id,
      setTimeout(() => {
        log.warn("a container that was announced did not come", { id });
        this.leave(id);
      }, EXPECTED_MS),
    );
  }

  #note(id: string, bundle: string): void {
    this.#bundles.set(id, bundle);
    this.#log.add(id, bundle);
  }

  #arrive(id: string, timer: NodeJS.Timeout | undefined): void {
    clearTimeout(this.#lingering);
    this.#lingering = undefined;
    this.#here.set(id, timer);
  }

  /** Lets something in, if `make` makes it; what was here stays when a second of its name fails. */
  async admit<T>(id: string, bundle: string, make: () => Promise<T>): Promise<T> {
    if (this.#ended) throw new BerthError("unavailable", "the shim is about to end", { stage: "shim" });
    const known = this.has(id);
    if (!known) {
      clearTimeout(this.#here.get(id));
      this.#arrive(id, undefined);
      this.#note(id, bundle);
    }
    try {
      return await make();
    } catch (error) {
      if (!known) this.leave(id);
      throw error;
    }
  }

  leave(id: string): void {
    clearTimeout(this.#here.get(id));
    this.#here.delete(id);
    this.#bundles.delete(id);
    this.endIfEmpty();
    this.#log.remove(id);
  }

  /** Ends the process soon, unless somebody is here or comes before. */
  endIfEmpty(): void {
    if (this.#here.size > 0 || this.#ended || this.#lingering !== undefined) return;
    this.#lingering = setTimeout(() => this.endNow(), LINGER_MS);
  }

  endNow(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#end();
  }
}

/** Containers and sandboxes, present or announced: they keep the serving process alive. */
import { BerthError, log } from "@berth/base";
import type { LogFifo } from "./log-fifo.ts";

/** How long the create of an announced container may take: containerd prepares its mounts first. */
const EXPECTED_MS = 60_000;
/** How long an empty process stays: starting another one costs more. */
const LINGER_MS = 200;

/** See the module comment. */
export class Residents {
  readonly #log: LogFifo;
  readonly #end: () => void;
  /** By id; announced ones have a timer. */
  readonly #here = new Map<string, NodeJS.Timeout | undefined>();
  readonly #bundles = new Map<string, string>();
  #lingering: NodeJS.Timeout | undefined;
  #ended = false;

  /** `end` is called once, when the process is to exit. */
  constructor(fifo: LogFifo, end: () => void) {
    this.#log = fifo;
    this.#end = end;
  }

  has(id: string): boolean {
    return this.#here.has(id) && this.#here.get(id) === undefined;
  }

  /** Is none present? Announced ones do not count. */
  get isEmpty(): boolean {
    return [...this.#here.values()].every((timer) => timer !== undefined);
  }

  /** Is it announced, but not present yet? */
  isAnnounced(id: string): boolean {
    return this.#here.get(id) !== undefined;
  }

  /** Bundle of a present or announced one. */
  bundleOf(id: string): string | undefined {
    return this.#bundles.get(id);
  }

  /** Announces a container; "unavailable" if the process is about to exit. */
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

  /** Adds a container if `make` succeeds. If it was present before, it stays in any case. */
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

  /** Ends the process soon, unless it has containers by then. */
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

/** The far end of a connection to {@link FakeSys}. */
import type { LineChannel, LineEvents } from "./sys.ts";

/**
 * The far end of a {@link LineChannel}, for a test to play. As with a real socket, nothing arrives before the code under
 * test has its channel; later lines arrive at once.
 */
export class FakePeer {
  /** Lines that were sent here. */
  readonly received: string[] = [];
  /** Called for each of them. */
  onLine: ((line: string) => void) | undefined;
  closed = false;
  /** Resolves when lines arrive. */
  readonly opened: Promise<void>;
  readonly #events: LineEvents;
  #pending: (() => void)[] | undefined = [];

  constructor(events: LineEvents) {
    this.#events = events;
    this.opened = new Promise((resolve) => {
      setImmediate(() => {
        const pending = this.#pending ?? [];
        this.#pending = undefined;
        for (const deliver of pending) deliver();
        resolve();
      });
    });
  }

  #deliver(action: () => void): void {
    if (this.#pending === undefined) action();
    else this.#pending.push(action);
  }

  send(...lines: string[]): this {
    for (const line of lines) this.#deliver(() => this.closed || this.#events.onLine(line));
    return this;
  }

  close(): void {
    this.#deliver(() => {
      if (this.closed) return;
      this.closed = true;
      this.#events.onClose?.();
    });
  }

  /** The near end. */
  get channel(): LineChannel {
    const isClosed = () => this.closed;
    return {
      get closed() {
        return isClosed();
      },
      send: (line) => {
        if (this.closed) return;
        this.received.push(line);
        this.onLine?.(line);
      },
      close: () => {
        if (this.closed) return;
        this.closed = true;
        queueMicrotask(() => this.#events.onClose?.());
      },
    };
  }
}

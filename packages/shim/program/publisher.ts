/**
 * Publishes events to containerd, in order: over ttrpc or, without an address for it, by containerd's own program. Events
 * are queued while containerd restarts.
 */
import { Events } from "@berth/api/shimEvents";
import { timestamp } from "@berth/api/time";
import { BerthError, log, SIGKILL, systemClock } from "@berth/base";
import type { Sys } from "@berth/sys";
import { type Connection, connect } from "@berth/ttrpc";
import { toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";

/** Longest queue; beyond it the oldest event is dropped. */
const MAX_WAITING = 8192;
/** Time limit for one event. */
const FORWARD_MS = 5000;
/** An event is dropped after so many refusals. */
const MAX_REFUSALS = 5;
const MAX_PAUSE_MS = 2000;

interface Waiting {
  topic: string;
  at: bigint;
  event: Any;
}

/** Where events go. */
export interface PublisherOptions {
  sys: Sys;
  namespace: string;
  /** containerd's ttrpc address; "" if it has none. */
  ttrpcAddress: string;
  /** Otherwise: containerd's address and program, for `containerd publish`. */
  address: string;
  publishBinary: string | undefined;
}

/** See the module comment. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #connection: Connection | undefined;
  readonly #waiting: Waiting[] = [];
  #working: Promise<void> | undefined;
  #dropped = 0;
  #closing = false;
  #wake: (() => void) | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    if (options.ttrpcAddress !== "")
      this.#connection = connect({
        address: options.ttrpcAddress,
        background: true,
        headers: { "containerd-namespace-ttrpc": options.namespace },
      });
  }

  publish(topic: string, event: Any): void {
    if (this.#connection === undefined && this.#options.publishBinary === undefined) return;
    if (this.#waiting.length >= MAX_WAITING) {
      this.#waiting.shift();
      if (this.#dropped++ === 0) log.warn("events are dropped, containerd takes none", { topic });
    }
    this.#waiting.push({ topic, at: systemClock.wall(), event });
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    let refusals = 0;
    let pause = 50;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        await this.#send(next);
      } catch (thrown) {
        const error = BerthError.from(thrown);
        const away = error.code === "unavailable" || error.code === "deadline_exceeded";
        if (!away) refusals++;
        log.debug("an event was not taken", { topic: next.topic, error: error.message });
        if (this.#closing && away) return;
        if (refusals <= MAX_REFUSALS) {
          await this.#rest(pause);
          pause = Math.min(pause * 2, MAX_PAUSE_MS);
          continue;
        }
        log.error("an event is dropped", { topic: next.topic, error: error.message });
      }
      refusals = 0;
      pause = 50;
      this.#dropped = 0;
      // A full queue may have dropped it meanwhile.
      if (this.#waiting[0] === next) this.#waiting.shift();
    }
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #send({ topic, at, event }: Waiting): Promise<void> {
    if (this.#connection === undefined) return this.#sendByProgram(topic, event);
    await this.#connection.client(Events).forward(
      {
        envelope: {
          timestamp: timestamp(at),
          namespace: this.#options.namespace,
          topic,
          event: { typeUrl: event.typeUrl, value: Uint8Array.from(event.value) },
        },
      },
      { timeoutMs: FORWARD_MS },
    );
  }

  /** `containerd publish`, with the event on its standard input. */
  async #sendByProgram(topic: string, event: Any): Promise<void> {
    const { sys, publishBinary, address, namespace } = this.#options;
    const input = sys.sealedFile("berth-event", toBinary(AnySchema, event));
    const none = sys.open("/dev/null", 2);
    try {
      // Opened again, so that it is read from its beginning.
      const stdin = sys.open(`/proc/self/fd/${input}`, 0);
      try {
        const pid = sys.spawn({
          path: publishBinary!,
          argv: [publishBinary!, "--address", address, "publish", "--topic", topic, "--namespace", namespace],
          env: Object.entries(sys.environment()).map(([name, value]) => `${name}=${value}`),
          fds: [stdin, none, none],
        });
        const until = sys.monotonicMs() + FORWARD_MS;
        for (let code = sys.reap(pid); ; code = sys.reap(pid)) {
          if (code === 0) return;
          if (code !== undefined)
            throw new BerthError("internal", `${publishBinary} publish ended with ${code}`, {
              stage: "publish",
            });
          if (sys.monotonicMs() > until) sys.kill(pid, SIGKILL);
          await sys.sleep(5);
        }
      } finally {
        sys.close(stdin);
      }
    } finally {
      sys.close(none);
      sys.close(input);
    }
  }

  /** Sends the queued events, for at most `ms`, and closes. */
  async close(ms: number): Promise<void> {
    this.#closing = true;
    this.#wake?.();
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#working,
      new Promise((resolve) => {
        timer = setTimeout(resolve, ms);
      }),
    ]);
    clearTimeout(timer);
    this.#connection?.close();
  }
}

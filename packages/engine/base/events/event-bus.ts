/**
 * The event bus: every change is published here, numbered, written to the history, and then delivered to subscribers.
 * A subscriber is a position in the history: a slow one holds no memory, and is cut off when its next events are no
 * longer kept.
 */
import { nanoseconds, pack, timestamp, types } from "@berth/api";
import { BerthError, present } from "@berth/base";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { checkIdentifier } from "../core/names.ts";
import { now } from "../core/time.ts";
import { compileFilters } from "../filters/index.ts";
import { envelopeFields } from "./fields.ts";
import { EventHistory } from "./history.ts";

/** An event in its envelope, with its number. */
export interface Published {
  readonly sequence: number;
  readonly envelope: types.Envelope;
}

/** Which events to follow. */
export interface Follow {
  /** containerd's filters; events that match any of them are sent, all without filters. */
  filters: readonly string[];
  /** Events with higher numbers; "out_of_range" if they are no longer kept. */
  after?: number | undefined;
  /** Events from this moment on that are still kept, in nanoseconds since the epoch. */
  since?: bigint | undefined;
  /** Ends when this moment has passed, in nanoseconds since the epoch. */
  until?: bigint | undefined;
  /** Ends the subscription. */
  signal: AbortSignal;
}

/** Longest topic, in characters. */
const MAX_TOPIC = 1024;
const TOPIC = /^(?:\/[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*)+$/;
/** Largest event that a client may publish, in bytes. */
const MAX_PUBLISHED = 1 << 20;
/** Longest name of an event's message. */
const MAX_TYPE_URL = 1024;
/** Longest delay of a timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Publishes and delivers events. */
export class EventBus {
  readonly #listeners = new Set<(event: Published) => void>();
  readonly #history: EventHistory;
  readonly #reserve: () => void;
  readonly #waiting = new Set<() => void>();
  /** Published events that are not yet written and delivered. */
  #pending: Published[] = [];
  #sequence: number;
  #flush: NodeJS.Immediate | undefined;

  /** `reserve` is called after events were written; see openHistory. */
  constructor(history = new EventHistory(), reserve: () => void = () => {}) {
    this.#history = history;
    this.#reserve = reserve;
    this.#sequence = history.newest;
  }

  /** Number of the last event. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Publishes a message of a known type. */
  emit<D extends DescMessage>(
    namespace: string,
    topic: string,
    schema: D,
    message: MessageInitShape<D>,
  ): void {
    this.#deliver(
      create(types.EnvelopeSchema, {
        timestamp: timestamp(now()),
        namespace,
        topic,
        event: pack(schema, message),
      }),
    );
  }

  /** Publishes a client's event; "invalid_argument" for an invalid topic. */
  publish(namespace: string, topic: string, event: Any | undefined): void {
    checkTopic(topic);
    checkEvent(event);
    this.#deliver(
      create(types.EnvelopeSchema, {
        timestamp: timestamp(now()),
        namespace,
        topic,
        ...present({ event }),
      }),
    );
  }

  /** Publishes an event that already has its envelope. */
  forward(envelope: types.Envelope | undefined): void {
    this.check(envelope);
    this.#deliver(envelope);
  }

  /** Throws "invalid_argument" for an envelope that cannot be forwarded. */
  check(envelope: types.Envelope | undefined): asserts envelope is types.Envelope {
    if (envelope?.timestamp === undefined)
      throw new BerthError("invalid_argument", "envelope has no timestamp: invalid argument");
    checkIdentifier(envelope.namespace);
    checkTopic(envelope.topic);
    checkEvent(envelope.event);
  }

  #deliver(envelope: types.Envelope): void {
    const event = { sequence: ++this.#sequence, envelope };
    this.#pending.push(event);
    // All events of one turn are written at once, after the responses that are on their way.
    this.#flush ??= setImmediate(() => this.flush());
    for (const listener of this.#listeners) listener(event);
  }

  /**
   * Writes and delivers pending events, in this order: no subscriber must see a number that a crash could take back.
   */
  flush(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const events = this.#pending;
    if (events.length === 0) return;
    this.#pending = [];
    this.#history.append(
      events.map(({ sequence, envelope }) => ({ sequence, bytes: toBinary(types.EnvelopeSchema, envelope) })),
    );
    this.#reserve();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Calls `listener` for each event from now on; returns the unsubscribe function. */
  listen(listener: (event: Published) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Yields the events that match one of the filters, from now on, until `signal` aborts. */
  async *subscribe(filters: readonly string[], signal: AbortSignal): AsyncGenerator<types.Envelope> {
    for await (const { envelope } of this.follow({ filters, signal })) yield envelope;
  }

  /** Yields events in order; from now on, unless `after` or `since` says otherwise. */
  async *follow({ filters, after, since, until, signal }: Follow): AsyncGenerator<Published> {
    let at = after ?? (since === undefined ? this.#sequence : this.#history.oldest - 1);
    this.#check(at);
    const passes = await compileFilters(filters, envelopeFields);
    for (;;) {
      const events = this.#history.read(at);
      if (events === undefined) throw this.#tooSlow(at);
      for (const { sequence, bytes } of events) {
        at = sequence;
        const envelope = fromBinary(types.EnvelopeSchema, bytes);
        const time = nanoseconds(envelope.timestamp) ?? 0n;
        if (until !== undefined && time > until) return;
        if ((since === undefined || time >= since) && passes(envelope)) yield { sequence, envelope };
      }
      if (events.length > 0) continue;
      if (signal.aborted || (until !== undefined && now() > until)) {
        if (at >= this.#sequence) return;
        this.flush();
      } else await this.#more(signal, until);
    }
  }

  /** Resolves when there are new events, when `signal` aborts, and when `until` has passed. */
  #more(signal: AbortSignal, until: bigint | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      const left = until === undefined ? undefined : Number((until - now()) / 1_000_000n) + 1;
      const timer = left === undefined ? undefined : setTimeout(wake, Math.min(left, MAX_TIMER_MS));
      signal.addEventListener("abort", wake, { once: true });
      this.#waiting.add(wake);
    });
  }

  #check(after: number): void {
    const oldest = this.#history.oldest;
    if (after > this.#sequence)
      throw new BerthError(
        "out_of_range",
        `after: found ${after}, but the newest event has number ${this.#sequence}`,
        { stage: "events", hint: `ask for events after ${this.#sequence}, or after none for those to come` },
      );
    // Numbered but not yet delivered ones count as kept.
    if (after + 1 < oldest && after < this.#sequence)
      throw new BerthError(
        "out_of_range",
        `events after number ${after} are no longer kept: the oldest there is has number ${oldest}`,
        { stage: "events", hint: `read the state anew, and ask for events after ${oldest - 1}` },
      );
  }

  #tooSlow(at: number): BerthError {
    const { oldest } = this.#history;
    return new BerthError(
      "resource_exhausted",
      `the reader is too slow: it has read up to event ${at}, and the oldest that is kept is ${oldest}`,
      { stage: "events", hint: `read the state anew, and subscribe again after ${oldest - 1}` },
    );
  }

  /** Writes pending events; nothing may be published afterwards. */
  close(): void {
    this.flush();
    this.#history.close();
  }
}

function checkTopic(topic: string): void {
  if (topic.length > MAX_TOPIC)
    throw new BerthError(
      "invalid_argument",
      `topic has ${topic.length} characters, at most ${MAX_TOPIC} are possible`,
    );
  if (TOPIC.test(topic)) return;
  const why = topic === "" ? "must not be empty" : `${JSON.stringify(topic)} must look like /component/event`;
  throw new BerthError("invalid_argument", `topic ${why}: invalid argument`);
}

function checkEvent(event: Any | undefined): void {
  if (event === undefined) return;
  const { typeUrl, value } = event;
  if (typeUrl.length > MAX_TYPE_URL)
    throw new BerthError(
      "invalid_argument",
      `event's type URL has ${typeUrl.length} characters, at most ${MAX_TYPE_URL} are possible`,
    );
  if (value.length > 0 && typeUrl === "")
    throw new BerthError("invalid_argument", "event has no type URL, expected one: invalid argument");
  if (value.length > MAX_PUBLISHED)
    throw new BerthError(
      "invalid_argument",
      `event has ${value.length} bytes, at most ${MAX_PUBLISHED} are possible`,
    );
}

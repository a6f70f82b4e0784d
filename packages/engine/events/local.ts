/** The event bus: everything that changes is published here, numbered, and goes to whoever subscribed. */
import { eventTypes, images, types } from "@berth/api";
import { BerthError } from "@berth/base";
import {
  create,
  createRegistry,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type Registry,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Any } from "@bufbuild/protobuf/wkt";
import { checkIdentifier } from "../core/names.ts";
import { pack, typeNameOf } from "../core/pack.ts";
import { Queue } from "../core/queue.ts";
import { now, timestamp } from "../core/time.ts";
import { compileFilters, type Field } from "../filters/index.ts";

/** An event in its envelope, with its number in this daemon's life. */
export interface Published {
  readonly sequence: number;
  readonly envelope: types.Envelope;
}

/** A subscriber that lets this many events pile up is cut off. */
const MAX_WAITING = 16_384;
const TOPIC = /^(?:\/[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*)+$/;

let known: Registry | undefined;

/** The messages that events can carry; made when a filter first looks into one. */
function registry(): Registry {
  known ??= createRegistry(
    ...Object.values(eventTypes).filter((v): v is typeof eventTypes.TaskExitSchema => v?.kind === "message"),
    images.ImageCreateSchema,
    images.ImageUpdateSchema,
    images.ImageDeleteSchema,
  );
  return known;
}

/** Publishes and delivers events. */
export class EventBus {
  readonly #listeners = new Set<(event: Published) => void>();
  #sequence = 0;

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

  /** Publishes what a client sent; "invalid_argument" for a topic that is none. */
  publish(namespace: string, topic: string, event: Any | undefined): void {
    checkTopic(topic);
    this.#deliver(
      create(types.EnvelopeSchema, {
        timestamp: timestamp(now()),
        namespace,
        topic,
        ...(event === undefined ? {} : { event }),
      }),
    );
  }

  /** Passes on an event that has its envelope. */
  forward(envelope: types.Envelope | undefined): void {
    if (envelope?.timestamp === undefined)
      throw new BerthError("invalid_argument", "envelope has no timestamp: invalid argument");
    checkIdentifier(envelope.namespace);
    checkTopic(envelope.topic);
    this.#deliver(envelope);
  }

  #deliver(envelope: types.Envelope): void {
    const event = { sequence: ++this.#sequence, envelope };
    for (const listener of this.#listeners) listener(event);
  }

  /** Calls `listener` for each event from now on; returns how to stop. */
  listen(listener: (event: Published) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Yields the events that match one of the filters, until `signal` aborts. */
  async *subscribe(filters: readonly string[], signal: AbortSignal): AsyncGenerator<types.Envelope> {
    const passes = compileFilters(filters, envelopeFields);
    const queue = new Queue<types.Envelope>(MAX_WAITING);
    const stop = this.listen(({ envelope }) => {
      if (passes(envelope)) queue.push(envelope);
    });
    const onAbort = () => queue.end();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      yield* queue;
    } finally {
      stop();
      signal.removeEventListener("abort", onAbort);
    }
  }
}

function checkTopic(topic: string): void {
  if (TOPIC.test(topic)) return;
  const why = topic === "" ? "must not be empty" : `${JSON.stringify(topic)} must look like /component/event`;
  throw new BerthError("invalid_argument", `topic ${why}: invalid argument`);
}

/** Fields of an envelope for filters: namespace, topic, event.<field of the message>. */
function envelopeFields(envelope: types.Envelope): Field {
  return (path) => {
    if (path.length === 1 && path[0] === "namespace") return envelope.namespace || undefined;
    if (path.length === 1 && path[0] === "topic") return envelope.topic || undefined;
    if (path[0] === "event" && envelope.event !== undefined) return eventField(envelope.event, path.slice(1));
    return undefined;
  };
}

function eventField(any: Any, path: readonly string[]): string | undefined {
  const schema = registry().getMessage(typeNameOf(any.typeUrl));
  if (schema === undefined) return undefined;
  let message = reflect(schema, fromBinary(schema, any.value));
  for (let i = 0; i < path.length; i++) {
    const field = message.fields.find((f) => f.name === path[i] || f.localName === path[i]);
    if (field === undefined) return undefined;
    if (field.fieldKind === "message") {
      message = message.get(field);
      continue;
    }
    if (field.fieldKind === "map") {
      const value = message.get(field).get(path.slice(i + 1).join("."));
      return typeof value === "string" ? value : undefined;
    }
    if (field.fieldKind !== "scalar" || i !== path.length - 1) return undefined;
    const value = String(message.get(field));
    return value === "" ? undefined : value;
  }
  return undefined;
}

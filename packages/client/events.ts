/** Events of the daemon. */

import { typeNameOf } from "@berth/api/any";
import * as api from "@berth/api/events";
import { dateOf, timestampOf } from "@berth/api/time";
import type * as types from "@berth/api/types";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";
import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";

/** One event. */
export interface DaemonEvent {
  /** For instance "/tasks/exit". */
  topic: string;
  namespace: string;
  timestamp: Date | undefined;
  /** Name of the message type, for instance "containerd.events.TaskExit". */
  type: string;
  /** The decoded message; undefined for a type this library does not know. */
  event: Message | undefined;
}

/** An event with its number. */
export interface NumberedEvent extends DaemonEvent {
  /** Higher than that of any earlier event, also across restarts of the daemon. */
  sequence: number;
}

/** Which events to follow; without `after` and `since` those from now on. */
export interface FollowOptions extends CallOptions {
  /** containerd's filters; an event that matches any of them is yielded. */
  filters?: string[];
  /** Events with higher numbers; "out_of_range" when they are no longer kept. */
  after?: number;
  /** Events from this moment on, as far as they are kept. */
  since?: Date;
  /** Ends when this moment has passed. */
  until?: Date;
}

/** The Events service. */
export class Events {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Events from now on, of all namespaces unless a filter says otherwise. Filters are containerd's, for instance
   * `topic=="/tasks/exit"`; an event that matches any of them is sent. Throws "canceled" when `signal` aborts.
   */
  async *subscribe(filters: string[] = [], options: CallOptions = {}): AsyncGenerator<DaemonEvent> {
    const known = await knownTypes();
    const service = this.#connection.client(api.Events);
    for await (const envelope of service.subscribe({ filters }, options)) yield decode(envelope, known);
  }

  /** Numbered events in order, including past ones. Only berthd implements this: containerd has no numbers. */
  async *follow(options: FollowOptions = {}): AsyncGenerator<NumberedEvent> {
    const { filters = [], after, since, until, ...call } = options;
    const [known, { Events: Numbered }] = await Promise.all([knownTypes(), import("@berth/api/berthEvents")]);
    const request = {
      filters,
      ...(after === undefined ? {} : { after: BigInt(after) }),
      ...(since === undefined ? {} : { since: timestampOf(since) }),
      ...(until === undefined ? {} : { until: timestampOf(until) }),
    };
    for await (const { sequence, envelope } of this.#connection.client(Numbered).subscribe(request, call))
      if (envelope) yield { sequence: Number(sequence), ...decode(envelope, known) };
  }
}

function decode(envelope: types.Envelope, known: ReadonlyMap<string, DescMessage>): DaemonEvent {
  const type = envelope.event === undefined ? "" : typeNameOf(envelope.event);
  const desc = known.get(type);
  return {
    topic: envelope.topic,
    namespace: envelope.namespace,
    timestamp: dateOf(envelope.timestamp),
    type,
    event: desc && envelope.event ? fromBinary(desc, envelope.event.value) : undefined,
  };
}

// Loaded lazily: most programs never subscribe.
async function knownTypes(): Promise<Map<string, DescMessage>> {
  const [{ file_containerd_events_events: file }, images] = await Promise.all([
    import("@berth/api/eventTypes"),
    import("@berth/api/images"),
  ]);
  const found = new Map<string, DescMessage>(file.messages.map((desc) => [desc.typeName, desc]));
  for (const desc of [images.ImageCreateSchema, images.ImageUpdateSchema, images.ImageDeleteSchema])
    found.set(desc.typeName, desc);
  return found;
}

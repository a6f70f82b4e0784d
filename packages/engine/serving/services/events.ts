/** The Events services on the wire: containerd's, and berth's own with numbers. */
import { berthEvents, events, nanoseconds } from "@berth/api";
import { type Service, service } from "@berth/rpc";
import { scopeOf } from "../../base/core/scope.ts";
import type { EventBus } from "../../base/events/event-bus.ts";

/** Serves `bus` as containerd does. */
export function eventsService(bus: EventBus): Service {
  return service(events.Events, {
    publish: (request, call) => {
      bus.publish(scopeOf(call).namespace, request.topic, request.event);
      return {};
    },
    forward: (request) => {
      bus.forward(request.envelope);
      return {};
    },
    subscribe: (request, call) => bus.subscribe(request.filters, call.signal),
  });
}

/** Serves `bus` with numbers, including past events. */
export function numberedEventsService(bus: EventBus): Service {
  return service(berthEvents.Events, {
    subscribe: async function* ({ filters, after, since, until }, { signal }) {
      const from = after === undefined ? undefined : Number(after);
      const span = { since: nanoseconds(since), until: nanoseconds(until) };
      for await (const { sequence, envelope } of bus.follow({ filters, after: from, ...span, signal }))
        yield { sequence: BigInt(sequence), envelope };
    },
  });
}

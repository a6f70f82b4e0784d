/** The Events service on the wire. */
import { events } from "@berth/api";
import { type Service, service } from "@berth/grpc";
import { scopeOf } from "../core/scope.ts";
import type { EventBus } from "./local.ts";

/** Serves `bus`. */
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

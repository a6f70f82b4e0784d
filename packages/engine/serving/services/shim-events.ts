/** The Events service for shims, on the ttrpc socket. */
import { shimEvents, type types } from "@berth/api";
import { type Service, service } from "@berth/rpc";

/** Serves `forward`. */
export function shimEventsService(forward: (envelope: types.Envelope | undefined) => void): Service {
  return service(shimEvents.Events, {
    forward: ({ envelope }) => {
      forward(envelope);
      return {};
    },
  });
}

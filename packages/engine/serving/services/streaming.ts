/** The Streaming service on the wire. */
import { streaming, unpack } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { scopeOf } from "../../base/core/scope.ts";
import type { StreamManager } from "../../work/transfer/stream-manager.ts";

/** Serves `manager`. */
export function streamingService(manager: StreamManager): Service {
  return service(streaming.Streaming, {
    stream: async function* (requests, call) {
      const { namespace } = scopeOf(call);
      const incoming = requests[Symbol.asyncIterator]();
      const first = await incoming.next();
      const init = first.done ? undefined : unpack(streaming.StreamInitSchema, first.value);
      if (init === undefined)
        throw new BerthError(
          "invalid_argument",
          "the first message of a stream must be a StreamInit: invalid argument",
        );
      yield* manager.serve(namespace, init.id, incoming, call.signal);
    },
  });
}

/** The Supervisor service on the wire. */
import { supervisor as api, timestamp } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { scopeOf } from "../../base/core/scope.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import type { StopOptions, Supervisor } from "../../work/lifecycle/supervisor.ts";

const MAX_SIGNAL = 64;

/** Serves `supervisor`; removals trigger `collector`. */
export function supervisorService(supervisor: Supervisor, collector: Collector): Service {
  const stopOptions = (request: { timeoutSeconds?: number | undefined; signal: number }): StopOptions => {
    if (request.signal > MAX_SIGNAL)
      throw new BerthError(
        "invalid_argument",
        `signal: found ${request.signal}, expected 0 to ${MAX_SIGNAL}: invalid argument`,
      );
    return { seconds: request.timeoutSeconds, signal: request.signal || undefined };
  };
  return service(api.Supervisor, {
    start: ({ containerId }, call) => supervisor.start(scopeOf(call).namespace, containerId),
    remove: async ({ containerId, force }, call) => {
      await supervisor.remove(scopeOf(call).namespace, containerId, force);
      await collector.request(false);
      return {};
    },
    stop: async (request, call) => {
      const { namespace } = scopeOf(call);
      const { wasRunning, exit } = await supervisor.stop(
        namespace,
        request.containerId,
        stopOptions(request),
      );
      return {
        wasRunning,
        exitStatus: exit?.exitStatus ?? 0,
        ...(exit === undefined ? {} : { exitedAt: timestamp(exit.exitedAt) }),
      };
    },
    restart: (request, call) =>
      supervisor.restart(scopeOf(call).namespace, request.containerId, stopOptions(request)),
  });
}

/** The Supervisor service on the wire, and what the monitor sees of the Tasks service. */
import { supervisor, type tasks, timestamp } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import type { MessageShape } from "@bufbuild/protobuf";
import { scopeOf } from "../../base/core/scope.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import type { Lives, StopWishes } from "../../work/lifecycle/lives.ts";
import type { RestartMonitor } from "../../work/lifecycle/monitor.ts";

const MAX_SIGNAL = 64;

/** Serves `lives`; a removal lets `collector` run. */
export function supervisorService(lives: Lives, collector: Collector): Service {
  const wishes = (request: { timeoutSeconds?: number | undefined; signal: number }): StopWishes => {
    if (request.signal > MAX_SIGNAL)
      throw new BerthError(
        "invalid_argument",
        `signal: found ${request.signal}, expected 0 to ${MAX_SIGNAL}: invalid argument`,
      );
    return { seconds: request.timeoutSeconds, signal: request.signal || undefined };
  };
  return service(supervisor.Supervisor, {
    start: ({ containerId }, call) => lives.start(scopeOf(call).namespace, containerId),
    remove: async ({ containerId, force }, call) => {
      await lives.remove(scopeOf(call).namespace, containerId, force);
      await collector.request(false);
      return {};
    },
    stop: async (request, call) => {
      const { namespace } = scopeOf(call);
      const { wasRunning, exit } = await lives.stop(namespace, request.containerId, wishes(request));
      return {
        wasRunning,
        exitStatus: exit?.exitStatus ?? 0,
        ...(exit === undefined ? {} : { exitedAt: timestamp(exit.exitedAt) }),
      };
    },
    restart: (request, call) => lives.restart(scopeOf(call).namespace, request.containerId, wishes(request)),
  });
}

/** The Tasks service, with the monitor told of signals before they are sent. */
export function watchedTasks(served: Service, monitor: RestartMonitor): Service {
  return {
    desc: served.desc,
    routes: served.routes.map((route) => {
      const { run } = route;
      if (route.method.localName !== "kill" || run === undefined) return route;
      return {
        ...route,
        run: (request, call) => {
          const { containerId, execId, signal } = request as MessageShape<typeof tasks.KillRequestSchema>;
          const waited =
            execId === "" && signal !== 0 && monitor.killed(scopeOf(call).namespace, containerId, signal);
          return waited ? {} : run(request, call);
        },
      };
    }),
  };
}

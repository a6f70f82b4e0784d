/** gRPC's health check: the daemon serves as soon as its socket exists. */
import { health } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";

/** Serves health for the given service names, and "" for the whole server. */
export function healthService(names: readonly string[]): Service {
  const { SERVING, SERVICE_UNKNOWN } = health.HealthCheckResponse_ServingStatus;
  const known = new Set(["", ...names]);
  return service(health.Health, {
    check: ({ service: name }) => {
      if (!known.has(name)) throw new BerthError("not_found", `unknown service ${name}: not found`);
      return { status: SERVING };
    },
    watch: async function* ({ service: name }, call) {
      yield { status: known.has(name) ? SERVING : SERVICE_UNKNOWN };
      await new Promise<void>((resolve) =>
        call.signal.addEventListener("abort", () => resolve(), { once: true }),
      );
    },
  });
}

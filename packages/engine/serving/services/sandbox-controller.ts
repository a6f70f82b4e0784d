/** The sandbox Controller service on the wire: containerd's controller "shim", over shims that have a Sandbox service. */
import { eventTypes, sandboxes, timestamp } from "@berth/api";
import { BerthError, present } from "@berth/base";
import { type CallContext, type Service, service } from "@berth/rpc";
import type { CreateSandbox, ForeignSandboxes } from "@berth/shim";
import { checkIdentifier } from "../../base/core/names.ts";
import { scopeOf } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import { fromMount } from "../../base/core/wire.ts";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { SandboxStore } from "../../objects/sandboxes/sandbox-store.ts";

/** Name of the one controller. */
const SHIM = "shim";

/** Serves `controller`; a sandbox that a request names only is taken from `store`. */
export function sandboxControllerService(
  store: SandboxStore,
  controller: () => Promise<ForeignSandboxes>,
  events: EventBus,
): Service {
  const refOf = (request: { sandboxId: string; sandboxer: string }, call: CallContext) => {
    const { sandboxId: id, sandboxer } = request;
    if (sandboxer === "")
      throw new BerthError(
        "invalid_argument",
        "sandboxer: found none, expected the name of a sandbox controller: invalid argument",
      );
    if (sandboxer !== SHIM)
      throw new BerthError(
        "not_found",
        `sandboxer: found ${JSON.stringify(sandboxer)}, expected ${JSON.stringify(SHIM)}, which is the only one: not found`,
      );
    const { namespace } = scopeOf(call);
    checkIdentifier(id, "sandbox_id");
    return { namespace, id };
  };
  return service(sandboxes.Controller, {
    create: async (request, call) => {
      const ref = refOf(request, call);
      const { netnsPath, annotations, options } = request;
      const { runtime, spec } = request.sandbox ?? store.get(ref.namespace, ref.id);
      if (!runtime?.name)
        throw new BerthError(
          "invalid_argument",
          "sandbox.runtime.name: found none, expected the name of a runtime: invalid argument",
        );
      if (runtime.options !== undefined && runtime.options.value.length > 0)
        throw new BerthError(
          "unimplemented",
          `sandbox.runtime.options: found ${runtime.options.typeUrl}, expected none: options for the start of a shim are not passed on`,
        );
      const wanted: CreateSandbox = {
        ...ref,
        runtime: runtime.name,
        rootfs: request.rootfs.map(fromMount),
        netnsPath,
        annotations,
        ...present({ options, spec: spec?.value }),
      };
      await (await controller()).create(wanted, { signal: call.signal });
      events.emit(ref.namespace, "/sandboxes/create", eventTypes.SandboxCreateSchema, { sandboxId: ref.id });
      return { sandboxId: ref.id };
    },
    start: async (request, call) => {
      const ref = refOf(request, call);
      const answer = await (await controller()).start(ref, { signal: call.signal });
      events.emit(ref.namespace, "/sandboxes/start", eventTypes.SandboxStartSchema, { sandboxId: ref.id });
      const { pid, createdAt, spec, address, version } = answer;
      return { sandboxId: ref.id, pid, address, version, ...present({ createdAt, spec }) };
    },
    platform: async (request, call) => {
      const { platform } = await (await controller()).platform(refOf(request, call), { signal: call.signal });
      return present({ platform });
    },
    stop: async (request, call) => {
      const ref = refOf(request, call);
      await (await controller()).stop(ref, request.timeoutSecs, { signal: call.signal });
      return {};
    },
    wait: async (request, call) => {
      const { exitStatus, exitedAt } = await (await controller()).wait(refOf(request, call), call.signal);
      return { exitStatus, exitedAt: timestamp(exitedAt) };
    },
    status: async (request, call) => {
      const ref = refOf(request, call);
      const found = await (await controller()).status(ref, request.verbose, { signal: call.signal });
      // As in containerd, one that is not there has ended.
      if (found === undefined) return { sandboxId: ref.id, exitedAt: timestamp(now()) };
      const { pid, state, info, createdAt, exitedAt, extra, address, version } = found;
      return {
        sandboxId: ref.id,
        pid,
        state,
        info,
        address,
        version,
        ...present({ createdAt, exitedAt, extra }),
      };
    },
    shutdown: async (request, call) => {
      await (await controller()).shutdown(refOf(request, call), { signal: call.signal });
      return {};
    },
    metrics: async (request, call) => {
      const { metrics } = await (await controller()).metrics(refOf(request, call), { signal: call.signal });
      return present({ metrics });
    },
    update: async (request, call) => {
      const ref = refOf(request, call);
      if (request.sandbox === undefined)
        throw new BerthError("invalid_argument", "sandbox is missing: invalid argument");
      // Shims cannot be told: what there is to change is the record, in the Store.
      (await controller()).check(ref);
      return {};
    },
  });
}

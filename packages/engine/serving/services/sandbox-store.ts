/** The sandbox Store service on the wire. */
import { sandboxes } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { scopeOf } from "../../base/core/scope.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { SandboxRecord, SandboxStore } from "../../objects/sandboxes/sandbox-store.ts";

/** Serves `store`. */
export function sandboxStoreService(store: SandboxStore): Service {
  const given = (sandbox: SandboxRecord | undefined) => {
    if (sandbox === undefined)
      throw new BerthError("invalid_argument", "sandbox is missing: invalid argument");
    return sandbox;
  };
  return service(sandboxes.Store, {
    create: ({ sandbox }, call) => ({ sandbox: store.create(scopeOf(call).namespace, given(sandbox)) }),
    update: ({ sandbox, fields }, call) => ({
      sandbox: store.update(scopeOf(call).namespace, given(sandbox), fields),
    }),
    delete: ({ sandboxId }, call) => {
      store.delete(scopeOf(call).namespace, sandboxId);
      return {};
    },
    list: async ({ filters }, call) => {
      const passes = await compileFilters(filters, (s: SandboxRecord) =>
        fieldsOf({ id: s.sandboxId }, s.labels),
      );
      return { list: store.list(scopeOf(call).namespace).filter(passes) };
    },
    get: ({ sandboxId }, call) => ({ sandbox: store.get(scopeOf(call).namespace, sandboxId) }),
  });
}

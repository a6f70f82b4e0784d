/** The Containers service on the wire. */
import { containers } from "@berth/api";
import { BerthError, stage, stageSync } from "@berth/base";
import { EncodedMessage, type Service, service } from "@berth/rpc";
import { pathsOf } from "../../base/core/mask.ts";
import { scopeOf } from "../../base/core/scope.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { ContainerRecord, ContainerStore } from "../../objects/containers/container-store.ts";
import type { Collector } from "../../objects/gc/collector.ts";

/** Serves `store`; deletions go through `remove`, which knows whether the container runs, and trigger `collector`. */
export function containersService(
  store: ContainerStore,
  remove: (ns: string, id: string) => Promise<void>,
  collector: Collector,
): Service {
  const given = (container: ContainerRecord | undefined) => {
    if (container === undefined)
      throw new BerthError("invalid_argument", "container is missing: invalid argument");
    return container;
  };
  const filtered = async (ns: string, filters: readonly string[]) => {
    const passes = await compileFilters(filters, (c: ContainerRecord) =>
      fieldsOf({ id: c.id, image: c.image, "runtime.name": c.runtime?.name ?? "" }, c.labels),
    );
    return store.list(ns).filter(passes);
  };
  return service(containers.Containers, {
    get: ({ id }, call) => ({ container: store.get(scopeOf(call).namespace, id) }),
    list: async ({ filters }, call) => {
      const { namespace } = scopeOf(call);
      // Field 1: containers.
      if (filters.length === 0) return EncodedMessage.list(1, store.encoded(namespace));
      return { containers: await filtered(namespace, filters) };
    },
    listStream: async function* ({ filters }, call) {
      for (const container of await filtered(scopeOf(call).namespace, filters)) yield { container };
    },
    create: ({ container }, call) => {
      const { namespace } = scopeOf(call);
      const wanted = given(container);
      return stageSync("containers.Create", { namespace, container: wanted.id }, () => ({
        container: store.create(namespace, wanted),
      }));
    },
    update: ({ container, updateMask }, call) => ({
      container: store.update(scopeOf(call).namespace, given(container), pathsOf(updateMask)),
    }),
    delete: ({ id }, call) => {
      const { namespace } = scopeOf(call);
      return stage("containers.Delete", { namespace, container: id }, async () => {
        await remove(namespace, id);
        await collector.request(false);
        return {};
      });
    },
  });
}

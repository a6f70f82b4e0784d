/** The Mounts service on the wire. */
import { mounts } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { pathsOf } from "../../base/core/mask.ts";
import { scopeOf } from "../../base/core/scope.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { Database } from "../../base/store/database.ts";
import { getInfo, listActivations } from "../../objects/mounts/rows.ts";
import type { Activations } from "../../work/mounts/activations.ts";

/** Serves the activations of `db`; `manager` makes and undoes them. */
export function mountsService(db: Database, manager: () => Promise<Activations>): Service {
  return service(mounts.Mounts, {
    activate: async (request, call) => {
      const { name, labels, temporary } = request;
      const scope = scopeOf(call);
      const activations = await manager();
      return { info: await activations.activate(scope, name, request.mounts, { labels, whole: temporary }) };
    },
    deactivate: async ({ name }, call) => {
      await (await manager()).deactivate(scopeOf(call).namespace, name);
      return {};
    },
    info: ({ name }, call) => ({ info: getInfo(db, scopeOf(call).namespace, name) }),
    update: async ({ info, updateMask }, call) => {
      if (info === undefined) throw new BerthError("invalid_argument", "info is missing: invalid argument");
      const { namespace } = scopeOf(call);
      return { info: (await manager()).update(namespace, info, pathsOf(updateMask)) };
    },
    list: async function* ({ filters }, call) {
      const passes = await compileFilters(filters, (info: { name: string; labels: Record<string, string> }) =>
        fieldsOf({ name: info.name }, info.labels),
      );
      for (const { info } of listActivations(db, scopeOf(call).namespace))
        if (info !== undefined && passes(info)) yield { info };
    },
  });
}

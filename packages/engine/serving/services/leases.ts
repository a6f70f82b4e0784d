/** The Leases service on the wire. */
import { leases, timestamp } from "@berth/api";
import { BerthError } from "@berth/base";
import { checkDigest } from "@berth/oci";
import { type Service, service } from "@berth/rpc";
import { checkLabels } from "../../base/core/names.ts";
import { scopeOf } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { Database } from "../../base/store/database.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import * as store from "../../objects/leases/rows.ts";

/** Serves the leases of `db`; `collector` collects at deletions and when a lease expires. */
export function leasesService(db: Database, collector: Collector): Service {
  const show = (lease: store.LeaseRecord) => ({
    id: lease.id,
    labels: lease.labels,
    createdAt: timestamp(BigInt(lease.created)),
  });
  return service(leases.Leases, {
    create: ({ id, labels }, call) => {
      const { namespace } = scopeOf(call);
      checkLabels(labels);
      const lease = { id: id || store.newLeaseId(), labels, created: String(now()) };
      db.transaction(() => store.createLease(db, namespace, lease));
      collector.expect(labels);
      return { lease: show(lease) };
    },
    delete: async ({ id, sync }, call) => {
      const { namespace } = scopeOf(call);
      db.transaction(() => {
        store.getLease(db, namespace, id);
        db.run("DELETE FROM leases WHERE ns = ? AND id = ?", namespace, id);
      });
      await collector.request(sync);
      return {};
    },
    list: async ({ filters }, call) => {
      const { namespace } = scopeOf(call);
      const passes = await compileFilters(filters, (l: store.LeaseRecord) =>
        fieldsOf({ id: l.id }, l.labels),
      );
      return { leases: store.listLeases(db, namespace).filter(passes).map(show) };
    },
    addResource: ({ id, resource }, call) => {
      const { namespace } = scopeOf(call);
      const checked = checkResource(resource);
      db.transaction(() => {
        store.getLease(db, namespace, id);
        store.holdResource(db, namespace, id, checked);
      });
      return {};
    },
    deleteResource: ({ id, resource }, call) => {
      const { namespace } = scopeOf(call);
      const { type, id: name } = checkResource(resource);
      db.transaction(() => {
        store.getLease(db, namespace, id);
        const sql = "DELETE FROM lease_resources WHERE ns = ? AND lease = ? AND type = ? AND id = ?";
        db.run(sql, namespace, id, type, name);
      });
      return {};
    },
    listResources: ({ id }, call) => {
      const { namespace } = scopeOf(call);
      store.getLease(db, namespace, id);
      return { resources: store.listResources(db, namespace, id) };
    },
  });
}

function checkResource(resource: store.Resource | undefined): store.Resource {
  const { type = "", id = "" } = resource ?? {};
  if (type === "content") checkDigest(id);
  else if (type !== "ingests" && type !== "images" && !/^snapshots\/[^/]+$/.test(type))
    throw new BerthError(
      "unimplemented",
      `resource type ${JSON.stringify(type)} not supported yet, expected content, ingests, images or snapshots/<snapshotter>: not implemented`,
    );
  if (id === "") throw new BerthError("invalid_argument", "resource id must not be empty: invalid argument");
  return { type, id };
}

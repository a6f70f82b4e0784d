/** The Content service on the wire. */
import { content, timestamp } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { isLabelPath, mergeLabels, notUpdatable, pathsOf } from "../../base/core/mask.ts";
import { scopeOf } from "../../base/core/scope.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { ContentStore, IngestStatus } from "../../objects/content/content-store.ts";
import type { ContentRecord } from "../../objects/content/rows.ts";
import type { Collector } from "../../objects/gc/collector.ts";
import { writeContent } from "./content-write.ts";

/** Blobs per message of a listing. */
const LIST_CHUNK = 100;

/** Serves `store`. */
export function contentService(store: ContentStore, collector: Collector): Service {
  const show = (record: ContentRecord) => ({
    digest: record.digest,
    size: BigInt(record.size),
    createdAt: timestamp(BigInt(record.created)),
    updatedAt: timestamp(BigInt(record.updated)),
    labels: record.labels,
  });
  const showStatus = (s: IngestStatus) => ({
    startedAt: timestamp(BigInt(s.started)),
    updatedAt: timestamp(s.updated),
    ref: s.ref,
    offset: BigInt(s.offset),
    total: BigInt(s.total),
    expected: s.expected,
  });
  return service(content.Content, {
    info: ({ digest }, call) => ({ info: show(store.info(scopeOf(call).namespace, digest)) }),
    update: ({ info, updateMask }, call) => {
      const { namespace } = scopeOf(call);
      const { digest = "", labels: wanted = {} } = info ?? {};
      const paths = pathsOf(updateMask) ?? ["labels"];
      const record = store.updateLabels(namespace, digest, (labels) =>
        paths.reduce((merged, path) => {
          if (!isLabelPath(path)) throw notUpdatable(path, "content");
          return mergeLabels(path, merged, wanted);
        }, labels),
      );
      return { info: show(record) };
    },
    list: async function* ({ filters }, call) {
      const { namespace } = scopeOf(call);
      const passes = await compileFilters(filters, (r: ContentRecord) =>
        fieldsOf({ digest: r.digest }, r.labels),
      );
      const found = store.list(namespace).filter(passes);
      for (let at = 0; at < found.length; at += LIST_CHUNK)
        yield { info: found.slice(at, at + LIST_CHUNK).map(show) };
    },
    delete: async ({ digest }, call) => {
      store.delete(scopeOf(call).namespace, digest);
      await collector.request(false);
      return {};
    },
    read: async function* ({ digest, offset, size }, call) {
      const { namespace } = scopeOf(call);
      let at = offset < 0n ? 0n : offset;
      for await (const data of store.read(namespace, digest, Number(at), Number(size))) {
        yield { offset: at, data };
        at += BigInt(data.length);
      }
    },
    status: ({ ref }, call) => ({ status: showStatus(store.status(scopeOf(call).namespace, ref)) }),
    listStatuses: async ({ filters }, call) => {
      const passes = await compileFilters(filters, (s: { ref: string }) => fieldsOf({ ref: s.ref }));
      return { statuses: store.statuses(scopeOf(call).namespace).filter(passes).map(showStatus) };
    },
    write: (requests, call) => {
      const scope = scopeOf(call);
      return writeContent(store, scope, requests);
    },
    abort: ({ ref }, call) => {
      if (ref === "") throw new BerthError("invalid_argument", "ref must not be empty: invalid argument");
      store.abort(scopeOf(call).namespace, ref);
      return {};
    },
  });
}

/** The Namespaces service on the wire. */
import { eventTypes, namespaces } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { isLabelPath, mergeLabels, notUpdatable, pathsOf } from "../../base/core/mask.ts";
import { checkIdentifier, checkLabelSizes } from "../../base/core/names.ts";
import type { EventBus } from "../../base/events/event-bus.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { Database } from "../../base/store/database.ts";
import { ensureNamespace, findNamespace, holdings, listNamespaces } from "../../objects/namespaces/rows.ts";

/** Serves the namespaces of `db`. */
export function namespacesService(db: Database, events: EventBus): Service {
  return service(namespaces.Namespaces, {
    // As in containerd, one that does not exist has no labels: dockerd asks for those of a namespace that it has yet to make.
    get: ({ name }) => ({ namespace: findNamespace(db, name) ?? { name, labels: {} } }),
    list: async ({ filter }) => {
      const passes = await compileFilters(
        filter === "" ? [] : [filter],
        (n: { name: string; labels: object }) => fieldsOf({ name: n.name }, { ...n.labels }),
      );
      return { namespaces: listNamespaces(db).filter(passes) };
    },
    create: ({ namespace }) => {
      const { name = "", labels = {} } = namespace ?? {};
      checkIdentifier(name);
      checkLabelSizes(labels);
      db.transaction(() => {
        const sql = "INSERT OR IGNORE INTO namespaces (name, labels) VALUES (?, ?)";
        if (db.run(sql, name, JSON.stringify(labels)) === 0)
          throw new BerthError("already_exists", `namespace ${JSON.stringify(name)}: already exists`);
        db.afterCommit(() =>
          events.emit(name, "/namespaces/create", eventTypes.NamespaceCreateSchema, { name, labels }),
        );
      });
      return { namespace: { name, labels } };
    },
    update: ({ namespace, updateMask }) => {
      const { name = "", labels: wanted = {} } = namespace ?? {};
      checkIdentifier(name);
      const labels = db.transaction(() => {
        ensureNamespace(db, name);
        let merged = findNamespace(db, name)!.labels;
        for (const path of pathsOf(updateMask) ?? ["labels"]) {
          if (!isLabelPath(path)) throw notUpdatable(path, "a namespace");
          merged = mergeLabels(path, merged, wanted);
        }
        for (const [key, value] of Object.entries(merged)) if (value === "") delete merged[key];
        checkLabelSizes(merged);
        db.run("UPDATE namespaces SET labels = ? WHERE name = ?", JSON.stringify(merged), name);
        db.afterCommit(() =>
          events.emit(name, "/namespaces/update", eventTypes.NamespaceUpdateSchema, { name, labels: wanted }),
        );
        return merged;
      });
      return { namespace: { name, labels } };
    },
    delete: ({ name }) => {
      db.transaction(() => {
        if (findNamespace(db, name) === undefined)
          throw new BerthError("not_found", `namespace ${JSON.stringify(name)}: not found`);
        const held = holdings(db, name);
        if (held.length > 0)
          throw new BerthError(
            "failed_precondition",
            `namespace ${JSON.stringify(name)} must be empty, but it still has ${held.join(", ")}: failed precondition`,
            { hint: "remove them first" },
          );
        for (const table of ["leases", "ingests"]) db.run(`DELETE FROM ${table} WHERE ns = ?`, name);
        db.run("DELETE FROM namespaces WHERE name = ?", name);
        db.afterCommit(() =>
          events.emit(name, "/namespaces/delete", eventTypes.NamespaceDeleteSchema, { name }),
        );
      });
      return {};
    },
  });
}

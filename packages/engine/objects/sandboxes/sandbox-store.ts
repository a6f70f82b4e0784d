/** The sandbox store: records of what sandboxes are made from. Those that run are the controller's. */
import { timestamp, types } from "@berth/api";
import { BerthError } from "@berth/base";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { isLabelPath, mergeLabels, notUpdatable } from "../../base/core/mask.ts";
import { checkIdentifier, checkLabels } from "../../base/core/names.ts";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import { ensureNamespace } from "../namespaces/rows.ts";

/** A stored sandbox: the wire's message. */
export type SandboxRecord = types.Sandbox;

const MUTABLE = ["labels", "extensions", "spec", "runtime"];
const EXTENSION = "extensions.";

/** Sandboxes of all namespaces. */
export class SandboxStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  find(ns: string, id: string): SandboxRecord | undefined {
    const row = this.#db.get("SELECT record FROM sandboxes WHERE ns = ? AND id = ?", ns, id);
    return row === undefined ? undefined : fromBinary(types.SandboxSchema, row.record as Uint8Array);
  }

  get(ns: string, id: string): SandboxRecord {
    const found = this.find(ns, id);
    if (found === undefined) throw new BerthError("not_found", `sandbox ${JSON.stringify(id)}: not found`);
    return found;
  }

  list(ns: string): SandboxRecord[] {
    return this.#db
      .all("SELECT record FROM sandboxes WHERE ns = ? ORDER BY id", ns)
      .map((row) => fromBinary(types.SandboxSchema, row.record as Uint8Array));
  }

  create(ns: string, wanted: SandboxRecord): SandboxRecord {
    const at = timestamp(now());
    const record = { ...wanted, createdAt: at, updatedAt: at };
    check(record);
    this.#db.transaction(() => {
      ensureNamespace(this.#db, ns);
      const sql = "INSERT OR IGNORE INTO sandboxes (ns, id, record) VALUES (?, ?, ?)";
      if (this.#db.run(sql, ns, record.sandboxId, toBinary(types.SandboxSchema, record)) === 0)
        throw new BerthError("already_exists", `sandbox ${JSON.stringify(record.sandboxId)}: already exists`);
    });
    return record;
  }

  /** Updates the fields in `paths`; without paths, all mutable fields are replaced. */
  update(ns: string, wanted: SandboxRecord, paths: readonly string[]): SandboxRecord {
    return this.#db.transaction(() => {
      const next = this.get(ns, wanted.sandboxId);
      if (paths.length === 0 && wanted.runtime?.name !== next.runtime?.name)
        throw new BerthError("invalid_argument", "sandbox.Runtime.Name field is immutable: invalid argument");
      for (const path of paths.length === 0 ? MUTABLE : paths) {
        if (isLabelPath(path)) next.labels = mergeLabels(path, next.labels, wanted.labels);
        else if (path === "extensions") next.extensions = wanted.extensions;
        else if (path.startsWith(EXTENSION)) {
          const key = path.slice(EXTENSION.length);
          const value = wanted.extensions[key];
          if (value === undefined) delete next.extensions[key];
          else next.extensions[key] = value;
        } else if (path === "spec" || path === "runtime") {
          delete next[path];
          if (wanted[path] !== undefined) Object.assign(next, { [path]: wanted[path] });
        } else throw notUpdatable(path, "a sandbox");
      }
      next.updatedAt = timestamp(now());
      check(next);
      const sql = "UPDATE sandboxes SET record = ? WHERE ns = ? AND id = ?";
      this.#db.run(sql, toBinary(types.SandboxSchema, next), ns, next.sandboxId);
      return next;
    });
  }

  delete(ns: string, id: string): void {
    this.#db.transaction(() => {
      if (this.#db.run("DELETE FROM sandboxes WHERE ns = ? AND id = ?", ns, id) === 0)
        throw new BerthError("not_found", `sandbox ${JSON.stringify(id)}: not found`);
    });
  }
}

function check({ sandboxId, labels, extensions }: SandboxRecord): void {
  checkIdentifier(sandboxId, "sandbox.ID");
  checkLabels(labels);
  for (const [key, value] of Object.entries(extensions))
    if (key === "" || value.typeUrl === "")
      throw new BerthError(
        "invalid_argument",
        `extension ${JSON.stringify(key)} must have a name and a type: invalid argument`,
      );
}

/** Rows of activations: mounts that the daemon has made, under a name. */
import { types } from "@berth/api";
import { BerthError } from "@berth/base";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import type { Database, Row } from "../../base/store/database.ts";
import { getLease } from "../leases/rows.ts";
import { ensureNamespace } from "../namespaces/rows.ts";

/** An activation. */
export interface Activation {
  /** Name of its folder. */
  number: number;
  ns: string;
  name: string;
  /** Undefined while its mounts are being made. */
  info: types.ActivationInfo | undefined;
}

const COLUMNS = "SELECT number, ns, name, labels, info FROM activations";

function activationOf(row: Row): Activation {
  const { number, ns, name } = row as { number: number; ns: string; name: string };
  if (row.info === null) return { number, ns, name, info: undefined };
  const info = fromBinary(types.ActivationInfoSchema, row.info as Uint8Array);
  return { number, ns, name, info: { ...info, labels: JSON.parse(row.labels as string) } };
}

/** The activation, if there is one. */
export function findActivation(db: Database, ns: string, name: string): Activation | undefined {
  const row = db.get(`${COLUMNS} WHERE ns = ? AND name = ?`, ns, name);
  return row === undefined ? undefined : activationOf(row);
}

/** The mounts of an activation; "not_found" if there is none, or none yet. */
export function getInfo(db: Database, ns: string, name: string): types.ActivationInfo {
  const info = findActivation(db, ns, name)?.info;
  if (info === undefined) throw new BerthError("not_found", `mount ${JSON.stringify(name)}: not found`);
  return info;
}

/** Activations of a namespace, or of all, by name. */
export function listActivations(db: Database, ns?: string): Activation[] {
  const rows =
    ns === undefined
      ? db.all(`${COLUMNS} ORDER BY number`)
      : db.all(`${COLUMNS} WHERE ns = ? ORDER BY name`, ns);
  return rows.map(activationOf);
}

/** Takes a name for mounts that are about to be made; "already_exists" if it is taken. Returns the folder's number. */
export function insertActivation(db: Database, scope: Scope, name: string, labels: Labels): number {
  const { namespace: ns, lease } = scope;
  if (lease !== undefined) getLease(db, ns, lease);
  ensureNamespace(db, ns);
  const sql =
    "INSERT OR IGNORE INTO activations (ns, name, lease, labels, created, updated) VALUES (?, ?, ?, ?, ?, ?)";
  const time = String(now());
  if (db.run(sql, ns, name, lease ?? "", JSON.stringify(labels), time, time) === 0)
    throw new BerthError("already_exists", `mount ${JSON.stringify(name)}: already exists`);
  return findActivation(db, ns, name)!.number;
}

/** Records what was mounted. */
export function saveInfo(db: Database, number: number, info: types.ActivationInfo): void {
  const { labels, ...rest } = info;
  const bytes = toBinary(types.ActivationInfoSchema, { ...rest, labels: {} });
  const sql = "UPDATE activations SET info = ?, labels = ?, updated = ? WHERE number = ?";
  db.run(sql, bytes, JSON.stringify(labels), String(now()), number);
}

/** Removes the row; its folder is then garbage. */
export function deleteActivation(db: Database, number: number): void {
  db.run("DELETE FROM activations WHERE number = ?", number);
}

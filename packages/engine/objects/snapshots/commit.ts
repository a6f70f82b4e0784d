/** What the commit of a snapshot makes of its record. */
import { BerthError } from "@berth/base";
import type { Labels } from "../../base/core/names.ts";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import { snapshotterLabels } from "./driver.ts";
import * as store from "./rows.ts";

/** What to commit: the active snapshot `key`, under a new name. */
export interface CommitRequest {
  name: string;
  key: string;
  labels: Labels;
  /** Another parent; only for one without. */
  parent?: string;
  usage?: { size: number; inodes: number };
}

/** The active snapshot, and what it is once it is committed; an error if it cannot be. */
export function commitOf(
  db: Database,
  where: store.Where,
  wanted: CommitRequest,
): { active: store.SnapshotRecord; committed: store.SnapshotRecord } {
  const { name, key, labels } = wanted;
  const active = store.getSnapshot(db, where, key);
  if (active.kind !== store.ACTIVE)
    throw new BerthError("failed_precondition", `snapshot ${key} is not active: failed precondition`);
  if (name === "")
    throw new BerthError("invalid_argument", "snapshot name must not be empty: invalid argument");
  const parent = wanted.parent || active.parent;
  if (parent !== active.parent) {
    const found = store.getSnapshot(db, where, parent);
    if (found.kind !== store.COMMITTED || active.parent !== "")
      throw new BerthError(
        "invalid_argument",
        `snapshot ${key} cannot get parent ${parent}: invalid argument`,
      );
  }
  const at = String(now());
  const committed: store.SnapshotRecord = {
    ...active,
    name,
    parent,
    kind: store.COMMITTED,
    labels: { ...snapshotterLabels(active.labels), ...labels },
    created: at,
    updated: at,
    usage: wanted.usage,
  };
  return { active, committed };
}

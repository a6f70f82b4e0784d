/**
 * Snapshots whose containers were never created: the daemon was killed in between, and with it the client's
 * connection.
 */
import { LABEL } from "@berth/api";
import { log } from "@berth/base";
import type { Labels } from "../../base/core/names.ts";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import type { ContainerStore } from "../containers/container-store.ts";
import { isHeld } from "../gc/labels.ts";
import { ACTIVE } from "./rows.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** Removes them; call once at start, when no client can be creating a container. */
export function removeUnclaimed(db: Database, snapshots: SnapshotStore, containers: ContainerStore): void {
  const nowNs = now();
  const sql = "SELECT ns, snapshotter, name, labels FROM snapshots WHERE kind = ? AND instr(labels, ?) > 0";
  const held = db
    .all(sql, ACTIVE, JSON.stringify(LABEL.heldUntil))
    // The garbage collector removes the others.
    .filter(({ labels }) => isHeld(JSON.parse(labels as string) as Labels, nowNs)) as {
    ns: string;
    snapshotter: string;
    name: string;
  }[];
  if (held.length === 0) return;
  const used = new Set(
    [...new Set(held.map(({ ns }) => ns))].flatMap((ns) =>
      containers.list(ns).map((record) => `${ns}/${record.snapshotter}/${record.snapshotKey}`),
    ),
  );
  const unclaimed = held.filter(({ ns, snapshotter, name }) => !used.has(`${ns}/${snapshotter}/${name}`));
  db.transaction(() => {
    for (const { ns, snapshotter, name } of unclaimed) snapshots.removeRow({ ns, snapshotter }, name);
  });
  if (unclaimed.length > 0)
    log.info("removed snapshots of containers that were never made", { snapshots: unclaimed.length });
}

/**
 * Cleans up after the transfers of a crashed daemon: removes their leases and half-unpacked layers, keeps partial
 * downloads.
 */
import { log } from "@berth/base";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import { deleteIngest } from "../../objects/content/rows.ts";
import { ACTIVE } from "../../objects/snapshots/rows.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";

/** Id prefix of the leases of transfers. */
export const LEASE_PREFIX = "berth-transfer-";

/** Call once at start, when no transfer can be in progress. */
export function recoverTransfers(db: Database, snapshots: SnapshotStore): void {
  db.transaction(() => {
    const leases = db.all("SELECT ns, id FROM leases WHERE id LIKE ? || '%'", LEASE_PREFIX) as {
      ns: string;
      id: string;
    }[];
    for (const { ns, id } of leases) {
      const held = db.all("SELECT type, id FROM lease_resources WHERE ns = ? AND lease = ?", ns, id);
      for (const resource of held) {
        const type = resource.type as string;
        const name = resource.id as string;
        // The next pull resumes a partial download; an upload from a client cannot be resumed. Its file is removed by
        // the clean-up that follows.
        if (type === "ingests" && /^(layer|config|unknown)-sha/.test(name))
          db.run(
            "UPDATE ingests SET leased = 0, started = ? WHERE ns = ? AND ref = ?",
            String(now()),
            ns,
            name,
          );
        else if (type === "ingests") deleteIngest(db, ns, name);
        else if (type.startsWith("snapshots/")) {
          const where = { ns, snapshotter: type.slice("snapshots/".length) };
          if (snapshots.find(where, name)?.kind === ACTIVE) snapshots.removeRow(where, name);
        }
      }
      db.run("DELETE FROM leases WHERE ns = ? AND id = ?", ns, id);
    }
    if (leases.length > 0) log.info("gave up transfers of the last daemon", { transfers: leases.length });
  });
}

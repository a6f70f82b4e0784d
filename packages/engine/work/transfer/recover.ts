/** What transfers of a daemon that died left: their leases and half-unpacked layers go, half-fetched blobs stay. */
import { log } from "@berth/base";
import { now } from "../../base/core/time.ts";
import type { Database } from "../../base/store/database.ts";
import { deleteIngest } from "../../objects/content/rows.ts";
import { ACTIVE } from "../../objects/snapshots/rows.ts";
import type { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";

/** Begin of the ids of leases under which transfers work. */
export const LEASE_PREFIX = "berth-transfer-";

/** Call once at start, when no transfer can be under way. */
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
        // The next pull goes on with a blob it fetched; what came from the client cannot be continued. Its file goes with
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

/** Repair of a damaged metadata database. */
import * as fs from "node:fs";
import { backupOf } from "../../base/store/damage.ts";
import { replaceDatabase, type SalvagedTable, salvage } from "../../base/store/salvage.ts";
import type { Finding } from "./examine.ts";

/** Reports what can be read of a damaged database, and with `fix` replaces it. The caller has locked its folder. */
export function repairDatabase(path: string, damage: string, fix: boolean): Finding {
  const fresh = `${path}.new`;
  fs.rmSync(fresh, { force: true });
  if (fix) fs.closeSync(fs.openSync(fresh, "wx", 0o600));
  const tables = salvage(path, fix ? fresh : ":memory:");
  const kept = fix ? replaceDatabase(path, fresh) : undefined;
  const backup = fs.statSync(backupOf(path), { throwIfNoEntry: false });
  const from = backup === undefined ? "there is no backup" : `the backup is of ${backup.mtime.toISOString()}`;
  return {
    kind: "metadata database",
    where: path,
    why: `${damage}; what can be read: ${tables.map(describe).join(", ")}; ${from}`,
    fix:
      kept === undefined
        ? "make a new one of what can be read and of the backup (berthd --doctor --fix); the damaged one is kept"
        : `the damaged one is kept as ${kept}`,
    fixed: fix,
    error: "",
  };
}

function describe({ name, rows, complete, fromBackup }: SalvagedTable): string {
  const label = name.replace("_", " ");
  if (complete) return `${label} ${rows}`;
  return `${label} ${rows} and no more${fromBackup > 0 ? `, ${fromBackup} from the backup` : ""}`;
}

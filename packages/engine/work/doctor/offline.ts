/** The examination without a daemon: the directories are locked, so that none starts meanwhile. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/base";
import { realSys } from "@berth/sys";
import { EventHistory } from "../../base/events/history.ts";
import { damageOf } from "../../base/store/damage.ts";
import { Database } from "../../base/store/database.ts";
import { lockDirectory } from "../../base/store/locks.ts";
import { repairDatabase } from "./database.ts";
import { type Examination, examine } from "./examine.ts";
import { TEMPORARY } from "./finding.ts";

/** Examines what a stopped daemon left in these directories; "failed_precondition" while one runs. */
export async function examineOffline(
  { root, state }: { root: string; state: string },
  fix: boolean,
  temporary: readonly string[],
): Promise<Examination> {
  for (const [what, folder] of [
    ["root", root],
    ["state", state],
  ] as const)
    if (!existsSync(folder))
      throw new BerthError("not_found", `there is no ${what} directory ${folder}`, {
        path: folder,
        hint: `name the daemon's with --${what}`,
      });
  const undo = [lockDirectory(root, "root")];
  try {
    if (state !== root) undo.push(lockDirectory(state, "state"));
    const database = join(root, "metadata.db");
    const damage = existsSync(database) ? damageOf(database) : undefined;
    const repaired = damage === undefined ? [] : [repairDatabase(database, damage, fix)];
    // Nothing else can be determined before the database is readable.
    if (damage !== undefined && !fix) return { host: [], findings: repaired };
    const db = new Database(database);
    undo.push(() => db.close());
    const history = new EventHistory(join(state, "events"));
    undo.push(() => history.close());
    const instance = { sys: realSys, db, history, root, state, temporary: [...TEMPORARY, ...temporary] };
    const { host, findings } = await examine(instance, fix);
    return { host, findings: [...repaired, ...findings] };
  } finally {
    for (const action of undo.reverse()) action();
  }
}

/** What an earlier daemon left of activations. */
import { BerthError, log } from "@berth/base";
import type { Database } from "../../base/store/database.ts";
import { deleteActivation, listActivations } from "../../objects/mounts/rows.ts";
import type { ActivationFolders } from "./activation-folders.ts";

/**
 * Forgets activations that were not finished, or whose mounts are gone (after a reboot), and undoes mounts without a
 * record. Call it once, before anybody can activate.
 */
export async function recoverActivations(db: Database, folders: ActivationFolders): Promise<void> {
  const kept = new Set<number>();
  for (const { number, name, ns, info } of listActivations(db)) {
    if (info !== undefined && folders.intact(info.active.map((each) => each.mountPoint))) kept.add(number);
    else {
      log.info("mounts of an earlier time are forgotten", { namespace: ns, name });
      db.transaction(() => deleteActivation(db, number));
    }
  }
  for (const number of folders.numbers()) if (!kept.has(number)) folders.retire(number);
  try {
    await folders.settled();
  } catch (error) {
    log.warn("mounts of an earlier time remain", { error: BerthError.from(error).message });
  }
}

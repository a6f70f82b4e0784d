/** Snapshots whose files are gone. */
import * as fs from "node:fs";
import { BerthError } from "@berth/base";
import type { Database } from "../../base/store/database.ts";
import type { SnapshotDriver } from "./driver.ts";
import * as store from "./rows.ts";

/**
 * The error for a snapshot with missing files, its own or a parent's; undefined if all exist. For use after a
 * failure: the check costs a call per layer.
 */
export function lossOf(
  db: Database,
  driver: SnapshotDriver,
  where: store.Where,
  key: string,
): BerthError | undefined {
  if (store.findSnapshot(db, where, key) === undefined) return undefined;
  for (const { name, number, kind, parent } of store.ancestors(db, where, key)) {
    const folder = driver.folder(number);
    // A view of the native snapshotter has no files of its own.
    if (fs.existsSync(folder) || (kind === store.VIEW && parent !== "")) continue;
    return new BerthError("data_loss", `snapshot ${name} has lost its files: ${folder} is gone`, {
      stage: "snapshot",
      path: folder,
      errno: "ENOENT",
      hint:
        kind === store.COMMITTED
          ? "it is a layer of an image: remove the containers and the image (berth rm, berth rmi), and pull it again"
          : "what the container wrote is lost: remove it (berth rm) and make it again",
    });
  }
  return undefined;
}

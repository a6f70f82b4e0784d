/** Logs of containers: the client names them in a label, the daemon removes those of containers it removes itself. */
import * as fs from "node:fs";
import { dirname, join, normalize } from "node:path";
import { log } from "@berth/base";

/** Label with the path of a container's log. */
export const LOG_PATH = "berth/log-path";

/**
 * Removes the log that `labels` name, rotated parts too, and its folder. Only below `folder`, as anybody who may
 * make containers chooses the label. What cannot be removed is logged.
 */
export function removeLog(folder: string, labels: Readonly<Record<string, string>>): void {
  const path = labels[LOG_PATH];
  if (path === undefined || normalize(path) !== path || !path.startsWith(join(folder, "/"))) return;
  const parent = dirname(path);
  try {
    for (const name of fs.readdirSync(parent))
      if (join(parent, name) === path || join(parent, name).startsWith(`${path}.`))
        fs.rmSync(join(parent, name));
    fs.rmdirSync(parent);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Somebody else's files keep the folder.
    if (code !== "ENOENT" && code !== "ENOTEMPTY")
      log.warn("a log could not be removed", { path, error: String(error) });
  }
}

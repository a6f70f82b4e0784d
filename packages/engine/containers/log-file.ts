/** Logs of containers: the client names them in a label, the daemon removes those of containers it removes itself. */
import * as fs from "node:fs";
import { dirname, join, normalize } from "node:path";
import { log } from "@berth/base";

/** Label with the path of a container's log. */
export const LOG_PATH = "berth/log-path";

/** The log that `labels` name, where it is below `folder`: anybody who may make containers chooses the label. */
function ownLog(folder: string, labels: Readonly<Record<string, string>>): string | undefined {
  const path = labels[LOG_PATH];
  return path !== undefined && normalize(path) === path && path.startsWith(join(folder, "/"))
    ? path
    : undefined;
}

/** Makes the folder of the log that `labels` name, for a start that no client has prepared. */
export function makeLogFolder(folder: string, labels: Readonly<Record<string, string>>): void {
  const path = ownLog(folder, labels);
  if (path !== undefined) fs.mkdirSync(dirname(path), { recursive: true, mode: 0o710 });
}

/** Removes logs without a container: whoever was removing both was cut off. Call once at start. */
export function removeOrphanLogs(folder: string, hasContainer: (ns: string, id: string) => boolean): void {
  const namesIn = (path: string) => (fs.existsSync(path) ? fs.readdirSync(path) : []);
  for (const ns of namesIn(folder))
    for (const id of namesIn(join(folder, ns)))
      if (!hasContainer(ns, id)) removeLog(folder, { [LOG_PATH]: join(folder, ns, id, "container.log") });
}

/**
 * Removes the log that `labels` name, rotated parts too, and its folder. Only below `folder`, as anybody who may
 * make containers chooses the label. What cannot be removed is logged.
 */
export function removeLog(folder: string, labels: Readonly<Record<string, string>>): void {
  const path = ownLog(folder, labels);
  if (path === undefined) return;
  const parent = dirname(path);
  try {
    for (const name of fs.readdirSync(parent))
      if (join(parent, name) === path || join(parent, name).startsWith(`${path}.`))
        fs.rmSync(join(parent, name));
    fs.rmdirSync(parent);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Somebody else's files keep the folder.
    if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "ENOTDIR")
      log.warn("a log could not be removed", { path, error: String(error) });
  }
}

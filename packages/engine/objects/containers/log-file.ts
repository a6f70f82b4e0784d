/** Logs of containers: the client names them in a label, the daemon removes those of containers it removes itself. */

import * as fs from "node:fs";
import { dirname, join, normalize } from "node:path";
import { LABEL } from "@berth/api";
import { CRI_LOG, log } from "@berth/base";
import type { Stdio } from "@berth/shim";
import type { ContainerRecord } from "./container-store.ts";

/** Name of a container's log in the folder of its own. */
const NAME = "container.log";

/** Whether a path that a client chose is below the folder of logs. */
function isOurs(folder: string, path: string): boolean {
  return normalize(path) === path && path.startsWith(join(folder, "/"));
}

/** A container's log: where its label says, if that is below `folder`, or the usual place. */
export function logFile(
  folder: string,
  ns: string,
  { id, labels }: Pick<ContainerRecord, "id" | "labels">,
): string {
  const path = labels[LABEL.logPath];
  return path !== undefined && isOurs(folder, path) ? path : join(folder, ns, id, NAME);
}

/** Makes the folder of the log that a task is about to write, if it is one of ours. */
export function makeLogFolder(folder: string, { stdout }: Pick<Stdio, "stdout">): void {
  if (!stdout.startsWith(CRI_LOG)) return;
  const path = decodeURIComponent(new URL(stdout).pathname);
  if (isOurs(folder, path)) fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
}

/** Removes logs without a container: whoever was removing both was cut off. Call once at start. */
export function removeOrphanLogs(folder: string, hasContainer: (ns: string, id: string) => boolean): void {
  const namesIn = (path: string) => (fs.existsSync(path) ? fs.readdirSync(path) : []);
  for (const ns of namesIn(folder))
    for (const id of namesIn(join(folder, ns)))
      if (!hasContainer(ns, id)) removeLog(folder, ns, { id, labels: {} });
}

/** Removes a container's log, rotated parts too, and its folder. What cannot be removed is logged. */
export function removeLog(folder: string, ns: string, record: Pick<ContainerRecord, "id" | "labels">): void {
  const path = logFile(folder, ns, record);
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

/**
 * Containers' logs: a client sets their path in a label; the daemon removes those of containers that it removes
 * itself.
 */

import * as fs from "node:fs";
import { dirname, join, normalize } from "node:path";
import { LABEL } from "@berth/api";
import { CRI_LOG, log } from "@berth/base";
import type { Stdio } from "@berth/shim";
import type { ContainerRecord } from "./container-store.ts";

/** File name of a log in its container's folder. */
const NAME = "container.log";

/** Whether a client's path is below the folder of logs. */
function isOurs(folder: string, path: string): boolean {
  return normalize(path) === path && path.startsWith(join(folder, "/"));
}

/** Path of a container's log: from its label, if that is below `folder`, or the default. */
export function logFile(
  folder: string,
  ns: string,
  { id, labels }: Pick<ContainerRecord, "id" | "labels">,
): string {
  const path = labels[LABEL.logPath];
  return path !== undefined && isOurs(folder, path) ? path : join(folder, ns, id, NAME);
}

/** Creates the folder of the log that a task is about to write, if it is one of ours. */
export function makeLogFolder(folder: string, { stdout }: Pick<Stdio, "stdout">): void {
  if (!stdout.startsWith(CRI_LOG)) return;
  const path = decodeURIComponent(new URL(stdout).pathname);
  if (isOurs(folder, path)) fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
}

/** Removes logs without a container, left by an interrupted removal. Call once at start. */
export function removeOrphanLogs(folder: string, hasContainer: (ns: string, id: string) => boolean): void {
  const namesIn = (path: string) => (fs.existsSync(path) ? fs.readdirSync(path) : []);
  for (const ns of namesIn(folder))
    for (const id of namesIn(join(folder, ns)))
      if (!hasContainer(ns, id)) removeLog(folder, ns, { id, labels: {} });
}

/** A log's file, and those that it was rotated to. */
function filesOf(path: string): string[] {
  const parent = dirname(path);
  return fs
    .readdirSync(parent)
    .map((name) => join(parent, name))
    .filter((file) => file === path || file.startsWith(`${path}.`));
}

/** Bytes of a container's log on the disk. */
export function logSize(folder: string, ns: string, record: Pick<ContainerRecord, "id" | "labels">): number {
  try {
    const sizes = filesOf(logFile(folder, ns, record)).map((file) => fs.statSync(file).size);
    return sizes.reduce((sum, size) => sum + size, 0);
  } catch {
    // There is none, or it is being removed.
    return 0;
  }
}

/** Removes a container's log, its rotated files, and its folder. Failures are logged. */
export function removeLog(folder: string, ns: string, record: Pick<ContainerRecord, "id" | "labels">): void {
  const path = logFile(folder, ns, record);
  const parent = dirname(path);
  try {
    for (const file of filesOf(path)) fs.rmSync(file);
    fs.rmdirSync(parent);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Other files keep the folder.
    if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "ENOTDIR")
      log.warn("a log could not be removed", { path, error: String(error) });
  }
}

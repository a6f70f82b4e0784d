/** Targets: paths in the root file system that are opened, or created if missing. */
import type { PlanBuilder } from "./builder.ts";

/** Mode of directories that are created. */
export const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;

/** What `target` creates if the path is missing, instead of the same kind of file as a slot's. */
export const FOLDER = -1;
export const FILE = -2;
export const NOTHING = -3;

/**
 * Opens `path` below the slot `root`. `like` is a slot, {@link FOLDER}, {@link FILE} or {@link NOTHING}. `resolve` are
 * openat2(2) flags in addition to RESOLVE_IN_ROOT.
 */
export function addTarget(
  b: PlanBuilder,
  words: string,
  slot: number,
  at: readonly [root: number, path: string],
  like: number,
  resolve = 0,
): void {
  b.add("child", words, "target", [slot, ...at, like, resolve, FOLDER_MODE, FILE_MODE]);
}

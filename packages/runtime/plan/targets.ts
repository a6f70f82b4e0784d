/** Places in the root file system: found, or made if missing. */
import type { PlanBuilder } from "./builder.ts";

/** Mode of folders that are made. */
export const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;

/** What `target` makes of a missing place, instead of the same kind as a slot. */
export const FOLDER = -1;
export const FILE = -2;
export const NOTHING = -3;

/**
 * Opens `path` below the slot `root`. `like` is a slot, {@link FOLDER}, {@link FILE} or {@link NOTHING}; `resolve` are
 * flags of openat2(2) that go with RESOLVE_IN_ROOT.
 */
export function addTarget(
  b: PlanBuilder,
  words: string,
  slot: number,
  place: readonly [root: number, path: string],
  like: number,
  resolve = 0,
): void {
  b.add("child", words, "target", [slot, ...place, like, resolve, FOLDER_MODE, FILE_MODE]);
}

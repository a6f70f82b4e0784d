/** What differs between snapshotters: folders and mounts. */
import type { Mount } from "../../base/core/wire.ts";

/** Makes and mounts the folders of snapshots, which are named by numbers. */
export interface SnapshotDriver {
  /** Name on the wire: "overlayfs" or "native". */
  readonly name: string;
  /** Why it cannot be used on this machine; undefined when it can. */
  readonly unusable: string | undefined;
  /** Makes the folder of a new snapshot on top of `parents` (nearest first). */
  prepare(number: number, parents: readonly number[], readonly: boolean): Promise<void>;
  /** How the snapshot is mounted. */
  mounts(number: number, parents: readonly number[], readonly: boolean): Mount[];
  /** The folder whose files are the snapshot's own. */
  folder(number: number): string;
  /** Moves the folder out of the way, at once; false when there was none. */
  retire(number: number): boolean;
  /** Moves folders whose number is not in `known` out of the way. */
  retireUnknown(known: ReadonlySet<number>): void;
  /** Deletes what was moved out of the way. */
  purge(): Promise<void>;
}

/** The parts that differ between snapshotters: folders and mounts. */
import { CONTAINERD_LABEL } from "@berth/api";
import type { Labels } from "../../base/core/names.ts";
import type { Mount } from "../../base/core/wire.ts";

/** Creates and mounts the folders of snapshots, which are named by numbers. */
export interface SnapshotDriver {
  /** Name on the wire: "overlayfs" or "native". */
  readonly name: string;
  /** Why it cannot be used on this machine; undefined if it can. */
  readonly unusable: string | undefined;
  /** Whether a removal is over only when the files are gone. */
  readonly syncRemove: boolean;
  /** Set if a layer can be applied to a snapshot before its parent is known. */
  readonly appliesAlone?: true;
  /** Set if a snapshot begins as a clone of its parent: what has not changed is its parent's. */
  readonly clones?: true;
  /** Labels that are shown with a snapshot, but not stored. */
  labelsOf?(number: number): Labels | undefined;
  /** Creates the folder of a new snapshot on top of `parents` (nearest first). */
  prepare(number: number, parents: readonly number[], readonly: boolean): Promise<void>;
  /** The mounts of a snapshot. */
  mounts(number: number, parents: readonly number[], readonly: boolean): Mount[];
  /** The folder of the snapshot's own files. */
  folder(number: number): string;
  /** Moves the folder aside, at once; returns false if there is none. */
  retire(number: number): boolean;
  /** Moves folders aside whose number is not in `known`. */
  retireUnknown(known: ReadonlySet<number>): void;
  /** Deletes the folders that were moved aside. */
  purge(): Promise<void>;
}

/** The labels that are the snapshotter's business. */
export function snapshotterLabels(labels: Labels): Labels {
  return Object.fromEntries(
    Object.entries(labels).filter(([label]) => label.startsWith(CONTAINERD_LABEL.snapshot)),
  );
}

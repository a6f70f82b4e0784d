/**
 * The btrfs snapshotter: a snapshot is a subvolume, and one on top of another begins as its clone, which takes no time
 * and no room. Its folder has to be on btrfs.
 */
import * as fs from "node:fs";
import { linux } from "@berth/sys";
import { BindDriver } from "./bind-driver.ts";
import { SnapshotFolders } from "./folders.ts";

const BTRFS_MAGIC = 0x9123683e;

/** Subvolumes of btrfs. */
export class BtrfsDriver extends BindDriver {
  readonly name = "btrfs";
  readonly unusable: string | undefined;
  readonly clones = true;
  /** Undefined if it cannot be used. */
  readonly #made: SnapshotFolders | undefined;

  constructor(root: string) {
    super();
    this.unusable = whyUnusable(root);
    if (this.unusable === undefined) this.#made = new SnapshotFolders(root, [], linux.destroySubvolume);
  }

  protected get folders(): SnapshotFolders {
    return this.#made!;
  }

  protected async fill(number: number, parent: number | undefined): Promise<void> {
    linux.createSubvolume(this.folder(number), parent === undefined ? undefined : this.folder(parent));
    if (parent === undefined) fs.chmodSync(this.folder(number), 0o755);
  }
}

function whyUnusable(root: string): string | undefined {
  let place = root;
  while (!fs.existsSync(place)) place = place.slice(0, place.lastIndexOf("/")) || "/";
  return fs.statfsSync(place).type === BTRFS_MAGIC ? undefined : `${place} is not on btrfs`;
}

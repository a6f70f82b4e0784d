/**
 * The btrfs snapshotter: a snapshot is a subvolume, and one on top of another begins as its clone, which takes no time
 * and no room. Its folder has to be on btrfs.
 */
import * as fs from "node:fs";
import { linux } from "@berth/sys";
import type { Mount } from "../../base/core/wire.ts";
import type { SnapshotDriver } from "./driver.ts";
import { SnapshotFolders } from "./folders.ts";

const BTRFS_MAGIC = 0x9123683e;

/** Subvolumes and mounts of btrfs. */
export class BtrfsDriver implements SnapshotDriver {
  readonly name = "btrfs";
  readonly unusable: string | undefined;
  readonly syncRemove = false;
  readonly clones = true;
  /** Undefined if it cannot be used. */
  readonly #made: SnapshotFolders | undefined;

  constructor(root: string) {
    this.unusable = whyUnusable(root);
    if (this.unusable === undefined) this.#made = new SnapshotFolders(root, [], linux.destroySubvolume);
  }

  get #folders(): SnapshotFolders {
    return this.#made!;
  }

  folder(number: number): string {
    return this.#folders.path(number);
  }

  async prepare(number: number, parents: readonly number[], readonly: boolean): Promise<void> {
    const [parent] = parents;
    // A view shows its parent as it is.
    if (readonly && parent !== undefined) return;
    linux.createSubvolume(this.folder(number), parent === undefined ? undefined : this.folder(parent));
    if (parent === undefined) fs.chmodSync(this.folder(number), 0o755);
  }

  mounts(number: number, parents: readonly number[], readonly: boolean): Mount[] {
    const source = this.folder(readonly ? (parents[0] ?? number) : number);
    return [{ type: "bind", source, target: "", options: ["rbind", readonly ? "ro" : "rw"] }];
  }

  retire(number: number): boolean {
    return this.#folders.retire(number);
  }

  retireUnknown(known: ReadonlySet<number>): void {
    this.#folders.retireUnknown(known);
  }

  purge(): Promise<void> {
    return this.#folders.purge();
  }
}

function whyUnusable(root: string): string | undefined {
  let place = root;
  while (!fs.existsSync(place)) place = place.slice(0, place.lastIndexOf("/")) || "/";
  return fs.statfsSync(place).type === BTRFS_MAGIC ? undefined : `${place} is not on btrfs`;
}

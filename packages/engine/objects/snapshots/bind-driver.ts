/** Drivers whose snapshots are complete folders: their mounts are plain binds. */
import type { Mount } from "../../base/core/wire.ts";
import type { SnapshotDriver } from "./driver.ts";
import type { SnapshotFolders } from "./folders.ts";

/** What the drivers share; a view with a parent shows the parent's folder, and has none of its own. */
export abstract class BindDriver implements SnapshotDriver {
  abstract readonly name: string;
  abstract readonly unusable: string | undefined;
  readonly syncRemove = false;
  protected abstract readonly folders: SnapshotFolders;

  /** Fills the folder of a new snapshot on top of `parent`. */
  protected abstract fill(number: number, parent: number | undefined): Promise<void>;

  folder(number: number): string {
    return this.folders.path(number);
  }

  async prepare(number: number, [parent]: readonly number[], readonly: boolean): Promise<void> {
    if (!readonly || parent === undefined) await this.fill(number, parent);
  }

  mounts(number: number, [parent]: readonly number[], readonly: boolean): Mount[] {
    const source = this.folder(readonly ? (parent ?? number) : number);
    return [{ type: "bind", source, target: "", options: ["rbind", readonly ? "ro" : "rw"] }];
  }

  retire(number: number): boolean {
    return this.folders.retire(number);
  }

  retireUnknown(known: ReadonlySet<number>): void {
    this.folders.retireUnknown(known);
  }

  purge(): Promise<void> {
    return this.folders.purge();
  }
}

/** The native snapshotter: every snapshot is a full copy of its parent. Works on every file system. */
import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { promisify } from "node:util";
import { BerthError } from "@berth/base";
import type { Mount } from "../../base/core/wire.ts";
import type { SnapshotDriver } from "./driver.ts";
import { SnapshotFolders } from "./folders.ts";

/** Folders and mounts of the native snapshotter. */
export class NativeDriver implements SnapshotDriver {
  readonly name = "native";
  readonly unusable = undefined;
  readonly syncRemove = false;
  readonly #folders: SnapshotFolders;

  constructor(root: string) {
    this.#folders = new SnapshotFolders(root);
  }

  folder(number: number): string {
    return this.#folders.path(number);
  }

  async prepare(number: number, parents: readonly number[], readonly: boolean): Promise<void> {
    const path = this.folder(number);
    const parent = parents[0];
    if (readonly && parent !== undefined) return;
    fs.mkdirSync(path, { recursive: true, mode: 0o755 });
    if (parent === undefined) return;
    try {
      // cp keeps attributes that node:fs cannot copy: devices, extended attributes, hard links, nanoseconds.
      await promisify(execFile)("cp", ["-a", "--reflink=auto", `${this.folder(parent)}/.`, path]);
    } catch (cause) {
      fs.rmSync(path, { recursive: true, force: true });
      throw new BerthError("internal", `cannot copy snapshot ${parent}: ${(cause as Error).message}`, {
        stage: "snapshot",
        path,
        cause,
      });
    }
  }

  mounts(number: number, parents: readonly number[], readonly: boolean): Mount[] {
    const source = readonly && parents.length > 0 ? this.folder(parents[0]!) : this.folder(number);
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

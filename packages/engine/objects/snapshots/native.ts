/** The native snapshotter: every snapshot is a full copy of its parent. Works on every file system. */
import { execFile } from "node:child_process";
import * as fs from "node:fs";
import { promisify } from "node:util";
import { BerthError } from "@berth/base";
import { BindDriver } from "./bind-driver.ts";
import { SnapshotFolders } from "./folders.ts";

/** Copied folders. */
export class NativeDriver extends BindDriver {
  readonly name = "native";
  readonly unusable = undefined;
  protected readonly folders: SnapshotFolders;

  constructor(root: string) {
    super();
    this.folders = new SnapshotFolders(root);
  }

  protected async fill(number: number, parent: number | undefined): Promise<void> {
    const path = this.folder(number);
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
}

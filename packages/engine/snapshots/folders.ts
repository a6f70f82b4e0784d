/** Folders of snapshots on disk: one per number, deleted in two steps so that a request need not wait for it. */
import * as fs from "node:fs";
import { join } from "node:path";

const RETIRED = "rm-";

/** The folders of one snapshotter. */
export class SnapshotFolders {
  readonly root: string;
  #purging: Promise<void> | undefined;

  constructor(root: string) {
    this.root = root;
    fs.mkdirSync(root, { recursive: true, mode: 0o700 });
  }

  path(number: number, ...rest: string[]): string {
    return join(this.root, String(number), ...rest);
  }

  retire(number: number): boolean {
    try {
      fs.renameSync(this.path(number), join(this.root, `${RETIRED}${number}`));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  /** Retires folders whose number is not in `known`: what a crash left. */
  retireUnknown(known: ReadonlySet<number>): void {
    for (const name of fs.readdirSync(this.root))
      if (/^\d+$/.test(name) && !known.has(Number(name))) this.retire(Number(name));
  }

  /** Deletes retired folders. */
  async purge(): Promise<void> {
    // Two purges at once would trip over each other's half-deleted trees.
    while (this.#purging !== undefined) await this.#purging;
    this.#purging = this.#purge().finally(() => {
      this.#purging = undefined;
    });
    await this.#purging;
  }

  async #purge(): Promise<void> {
    for (const name of await fs.promises.readdir(this.root))
      if (name.startsWith(RETIRED))
        await fs.promises.rm(join(this.root, name), { recursive: true, force: true, maxRetries: 3 });
  }
}

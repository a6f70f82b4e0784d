/** Snapshot folders on disk: one per number, deleted in two steps so that a request does not wait for it. */
import * as fs from "node:fs";
import { join } from "node:path";

const RETIRED = "rm-";
/** Folders removed before yielding. */
const AT_ONCE = 8;

/** The folders of one snapshotter. */
export class SnapshotFolders {
  readonly root: string;
  readonly #layout: readonly string[];
  #purging: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  readonly #destroy: ((path: string) => void) | undefined;

  /** `layout`: subfolders of an unused snapshot, the deepest first. `destroy` removes a folder as a whole. */
  constructor(root: string, layout: readonly string[] = [], destroy?: (path: string) => void) {
    this.root = root;
    this.#layout = layout;
    this.#destroy = destroy;
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

  /** Retires folders whose number is not in `known`: leftovers of a crash. */
  retireUnknown(known: ReadonlySet<number>): void {
    for (const name of fs.readdirSync(this.root))
      if (/^\d+$/.test(name) && !known.has(Number(name))) this.retire(Number(name));
  }

  /**
   * Deletes the folders that are retired by now. One deletion runs at a time; concurrent callers share the next one,
   * so that a burst of removals does not scan the folder each time.
   */
  purge(): Promise<void> {
    if (this.#purging === undefined) {
      this.#purging = this.#purge().finally(() => {
        this.#purging = undefined;
      });
      return this.#purging;
    }
    this.#next ??= this.#purging
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.purge();
      });
    return this.#next;
  }

  async #purge(): Promise<void> {
    const names = (await fs.promises.readdir(this.root)).filter((name) => name.startsWith(RETIRED));
    const errors: unknown[] = [];
    for (const [n, name] of names.entries()) {
      const path = join(this.root, name);
      if (this.#removeAtOnce(path)) {
        // Each takes little time, but other work should run in between.
        if (n % AT_ONCE === 0) await new Promise(setImmediate);
        continue;
      }
      // One that cannot be removed does not block the others.
      await fs.promises
        .rm(path, { recursive: true, force: true, maxRetries: 3 })
        .catch((e) => errors.push(e));
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Most containers write nothing: their empty folders are removed with a few calls, without a scan. */
  #removeAtOnce(path: string): boolean {
    try {
      if (this.#destroy !== undefined) {
        this.#destroy(path);
        return true;
      }
      for (const name of this.#layout) fs.rmdirSync(join(path, name));
      fs.rmdirSync(path);
      return true;
    } catch {
      return false;
    }
  }
}

/**
 * The overlayfs snapshotter: a snapshot is a folder `fs` (and `work` while it is writable); its mount stacks it on
 * the parents' folders.
 */
import * as fs from "node:fs";
import { CONTAINERD_LABEL } from "@berth/api";
import type { Labels } from "../../base/core/names.ts";
import type { Mount } from "../../base/core/wire.ts";
import type { SnapshotDriver } from "./driver.ts";
import { SnapshotFolders } from "./folders.ts";

/** Settings of overlayfs. */
export interface OverlayOptions {
  /** Further options of mounts. */
  mountOptions: readonly string[];
  syncRemove: boolean;
  /** Whether snapshots show their upper folders as a label, as tools that read them need. */
  upperdirLabel: boolean;
}

/** Folders and mounts of overlayfs. */
export class OverlayDriver implements SnapshotDriver {
  readonly name = "overlayfs";
  readonly unusable: string | undefined;
  readonly appliesAlone = true;
  readonly #folders: SnapshotFolders;
  readonly #baseOptions: readonly string[];

  readonly syncRemove: boolean;
  readonly #upperdirLabel: boolean;

  constructor(
    root: string,
    { mountOptions = [], syncRemove = false, upperdirLabel = false }: Partial<OverlayOptions> = {},
  ) {
    this.syncRemove = syncRemove;
    this.#upperdirLabel = upperdirLabel;
    this.#folders = new SnapshotFolders(root, ["fs", "work/work", "work"]);
    this.unusable = whyUnusable();
    // With index=on, a snapshot that was moved or copied to another machine could not be mounted again.
    this.#baseOptions = fs.existsSync("/sys/module/overlay/parameters/index")
      ? ["index=off", ...mountOptions]
      : mountOptions;
  }

  labelsOf(number: number): Labels | undefined {
    return this.#upperdirLabel ? { [CONTAINERD_LABEL.overlayUpperdir]: this.folder(number) } : undefined;
  }

  folder(number: number): string {
    return this.#folders.path(number, "fs");
  }

  async prepare(number: number, parents: readonly number[], readonly: boolean): Promise<void> {
    const path = this.folder(number);
    fs.mkdirSync(path, { recursive: true, mode: 0o755 });
    if (!readonly) fs.mkdirSync(this.#folders.path(number, "work"), { mode: 0o711, recursive: true });
    const parent = parents[0];
    if (parent !== undefined) {
      // The merged root takes its attributes from the topmost folder: they have to match the parent's.
      const { mode, uid, gid } = fs.statSync(this.folder(parent));
      fs.chownSync(path, uid, gid);
      fs.chmodSync(path, mode & 0o7777);
    }
  }

  mounts(number: number, parents: readonly number[], readonly: boolean): Mount[] {
    const bind = (source: string): Mount[] => [
      { type: "bind", source, target: "", options: [readonly ? "ro" : "rw", "rbind"] },
    ];
    if (parents.length === 0) return bind(this.folder(number));
    if (readonly && parents.length === 1) return bind(this.folder(parents[0]!));
    const options = [...this.#baseOptions];
    if (!readonly)
      options.push(`workdir=${this.#folders.path(number, "work")}`, `upperdir=${this.folder(number)}`);
    options.push(`lowerdir=${parents.map((p) => this.folder(p)).join(":")}`);
    return [{ type: "overlay", source: "overlay", target: "", options }];
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

function whyUnusable(): string | undefined {
  if (process.getuid?.() !== 0) return "overlayfs needs root";
  const known = fs.readFileSync("/proc/filesystems", "utf8").split(/\s+/).includes("overlay");
  return known || fs.existsSync("/sys/module/overlay")
    ? undefined
    : "the kernel has no overlay file system loaded";
}

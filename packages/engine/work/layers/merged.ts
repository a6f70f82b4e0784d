/**
 * A file tree as a mount would show it, read from its folders without mounting: one folder, none, or those of an
 * overlay merged by overlayfs's rules (the topmost file of a name counts; folders of a name are merged down to one that
 * is opaque; a whiteout hides what is below). Nothing is left behind by a crash, and no mount is needed that a running
 * container's own could conflict with.
 *
 * Everything is opened relative to open folders and without following links.
 */
import * as fs from "node:fs";
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";
import { namesIn } from "./names-in.ts";
import { attributesOf, type OverlayPrefix, procPath, type SourceFile } from "./tar-source.ts";

const { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = linux;

/** A file or folder of a tree. */
export interface TreeEntry extends SourceFile {
  /** Of a folder: those that it is merged from, topmost first. */
  parts: readonly Pick<SourceFile, "dir" | "name">[];
  /** Extended attributes without overlay's own; refuses a file whose contents are in a layer below. */
  attributes(): Map<string, Uint8Array>;
}

/** An open folder of a tree; close it. */
export class TreeFolder {
  readonly #fds: readonly number[];
  readonly #path: string;
  readonly #overlay: OverlayPrefix | undefined;

  private constructor(fds: readonly number[], path: string, overlay: OverlayPrefix | undefined) {
    this.#fds = fds;
    this.#path = path;
    this.#overlay = overlay;
  }

  /** The root of the tree of `folders`, topmost first: an overlay with attributes of that prefix, or one plain folder. */
  static root(folders: readonly string[], overlay: OverlayPrefix | undefined): TreeFolder {
    const open = (folder: string) =>
      linux.syscall("openat", folder, linux.AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return new TreeFolder(openAll(folders, open), "", overlay);
  }

  /** The folder that an entry is. */
  open({ path, parts }: TreeEntry): TreeFolder {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    const open = ({ dir, name }: (typeof parts)[number]) =>
      linux.syscall("openat", path, dir, name, flags, 0);
    return new TreeFolder(openAll(parts, open), path, this.#overlay);
  }

  /** The entries in the order of their names' bytes; sockets are left out, as no layer holds them. */
  entries(): TreeEntry[] {
    const found = new Map<string, TreeEntry & { parts: { dir: number; name: string }[]; final: boolean }>();
    const hidden = new Set<string>();
    for (const [at, dir] of this.#fds.entries()) {
      for (const name of namesIn(dir, this.#path)) {
        const above = found.get(name);
        if (hidden.has(name) || above?.final) continue;
        const stat = fs.lstatSync(procPath({ dir, name }), { bigint: true, throwIfNoEntry: false });
        // It was removed meanwhile.
        if (stat === undefined) continue;
        const path = this.#path === "" ? name : `${this.#path}/${name}`;
        const folder = stat.isDirectory();
        const lowest = at === this.#fds.length - 1;
        const final = !folder || this.#isOpaque({ dir, name, path }) || lowest;
        if (above !== undefined) {
          if (folder) above.parts.push({ dir, name });
          above.final = final;
        } else if (stat.isSocket() || (this.#overlay !== undefined && isWhiteout(stat))) hidden.add(name);
        else {
          const parts = folder ? [{ dir, name }] : [];
          const attributes = () => this.#attributes({ dir, name, path });
          found.set(name, { dir, name, path, stat, parts, attributes, final });
        }
      }
    }
    return [...found.values()].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  }

  /** Whether a folder hides what is below; refuses what would need overlayfs itself to be found. */
  #isOpaque(file: Pick<SourceFile, "dir" | "name" | "path">): boolean {
    let opaque = false;
    if (this.#overlay === undefined) return opaque;
    attributesOf(file, this.#overlay, (mark, value) => {
      if (mark === "redirect" || (mark === "opaque" && value !== "y"))
        throw unreadable(file.path, `${this.#overlay}${mark}=${value}`);
      if (mark === "opaque") opaque = true;
    });
    return opaque;
  }

  #attributes(file: Pick<SourceFile, "dir" | "name" | "path">): Map<string, Uint8Array> {
    return attributesOf(file, this.#overlay, (mark) => {
      if (this.#overlay !== undefined && mark === "metacopy")
        throw unreadable(file.path, `${this.#overlay}${mark}`);
    });
  }

  close(): void {
    for (const fd of this.#fds) linux.close(fd);
  }
}

function isWhiteout(stat: fs.BigIntStats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0n;
}

function unreadable(path: string, found: string): BerthError {
  return new BerthError(
    "unimplemented",
    `${path}: found ${found}, expected folders of an overlay without redirect_dir, metacopy and xwhiteouts`,
    { stage: "diff", path, hint: "mount the overlay without these options" },
  );
}

function openAll<T>(items: readonly T[], open: (item: T) => number): number[] {
  const fds: number[] = [];
  try {
    for (const item of items) fds.push(open(item));
    return fds;
  } catch (error) {
    for (const fd of fds) linux.close(fd);
    throw error;
  }
}

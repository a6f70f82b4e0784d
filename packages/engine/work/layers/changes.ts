/**
 * Creates a layer from two trees: what has to be applied to the left one to get the right one. The same trees give the
 * same bytes. As in containerd's walking differ, what is gone becomes a whiteout, folders are listed before what has
 * changed in them, and a file with several names is written once, linked to by the others, unchanged ones included.
 */
import type { TreeEntry, TreeFolder } from "./merged.ts";
import { sameFile } from "./same-file.ts";
import { entryHeader, fileEntry } from "./tar-source.ts";
import { TAR_END, tarHeader } from "./tar-writer.ts";

/** Entries compared before other work may run. */
const AT_ONCE = 256;

/** A folder of the right tree: its header is written with the first change in it. */
interface Parent {
  entry: TreeEntry | undefined;
  above: Parent | undefined;
  written: boolean;
}

/** Yields the layer's bytes. `newest` is the upper bound on file times, in nanoseconds since the epoch. */
export async function* makeChanges(
  left: TreeFolder,
  right: TreeFolder,
  newest?: bigint,
): AsyncGenerator<Uint8Array> {
  const root: Parent = { entry: undefined, above: undefined, written: true };
  yield* new Changes(newest).folder(left, right, root);
  yield TAR_END;
}

class Changes {
  readonly #newest: bigint | undefined;
  /** By inode with more than one name: the path that was written; the unchanged names before it. */
  readonly #written = new Map<string, string>();
  readonly #unchanged = new Map<string, { path: string; entry: TreeEntry; parent: Parent }[]>();
  #compared = 0;

  constructor(newest: bigint | undefined) {
    this.#newest = newest;
  }

  async *folder(left: TreeFolder | undefined, right: TreeFolder, parent: Parent): AsyncGenerator<Uint8Array> {
    const before = left?.entries() ?? [];
    const after = right.entries();
    for (let i = 0, j = 0; i < before.length || j < after.length; ) {
      if (++this.#compared % AT_ONCE === 0) await new Promise(setImmediate);
      const order = compareNames(before[i], after[j]);
      const old = order <= 0 ? before[i++] : undefined;
      const entry = order >= 0 ? after[j++] : undefined;
      if (entry === undefined) {
        yield* this.#headers(parent);
        yield whiteout(old!);
      } else if (entry.stat.isDirectory()) yield* this.#directory(left, old, right, entry, parent);
      else yield* this.#file(old, entry, parent);
    }
  }

  async *#directory(
    left: TreeFolder | undefined,
    old: TreeEntry | undefined,
    right: TreeFolder,
    entry: TreeEntry,
    above: Parent,
  ): AsyncGenerator<Uint8Array> {
    const parent: Parent = { entry, above, written: false };
    if (old === undefined || !sameFile(old, entry)) yield* this.#headers(parent);
    const after = right.open(entry);
    try {
      const before = old?.stat.isDirectory() ? left!.open(old) : undefined;
      try {
        yield* this.folder(before, after, parent);
      } finally {
        before?.close();
      }
    } finally {
      after.close();
    }
  }

  async *#file(old: TreeEntry | undefined, entry: TreeEntry, parent: Parent): AsyncGenerator<Uint8Array> {
    const { path, stat } = entry;
    const same = old !== undefined && sameFile(old, entry);
    const inode = stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : undefined;
    const source = inode === undefined ? undefined : this.#written.get(inode);
    if (source !== undefined) {
      yield* this.#link(entry, source, parent);
      return;
    }
    if (same) {
      if (inode === undefined) return;
      const names = this.#unchanged.get(inode) ?? [];
      names.push({ path, entry, parent });
      this.#unchanged.set(inode, names);
      return;
    }
    yield* this.#headers(parent);
    yield* fileEntry(entry, this.#newest, entry.attributes());
    if (inode === undefined) return;
    this.#written.set(inode, path);
    for (const other of this.#unchanged.get(inode) ?? []) yield* this.#link(other.entry, path, other.parent);
    this.#unchanged.delete(inode);
  }

  async *#link(entry: TreeEntry, linkname: string, parent: Parent): AsyncGenerator<Uint8Array> {
    yield* this.#headers(parent);
    yield entryHeader(entry, this.#newest, { type: "1", linkname });
  }

  /** The headers of a folder and of those above it, unless they were written. */
  *#headers(parent: Parent): Generator<Uint8Array> {
    const { entry, above } = parent;
    if (parent.written || entry === undefined) return;
    if (above !== undefined) yield* this.#headers(above);
    parent.written = true;
    const { path, stat } = entry;
    yield entryHeader({ path: `${path}/`, stat }, this.#newest, { type: "5" }, entry.attributes());
  }
}

/** Below 0 if only the left tree has the name, above if only the right one has it. */
function compareNames(left: TreeEntry | undefined, right: TreeEntry | undefined): number {
  if (left === undefined) return 1;
  if (right === undefined) return -1;
  return Buffer.compare(Buffer.from(left.name), Buffer.from(right.name));
}

function whiteout({ path, name }: TreeEntry): Buffer {
  // Without a time: when it was removed is not known.
  return tarHeader({ name: `${path.slice(0, path.length - name.length)}.wh.${name}`, mode: 0, size: 0 });
}

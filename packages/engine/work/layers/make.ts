/**
 * Creates a layer from an overlay's upper folder (or from a whole folder): the inverse of apply.ts.
 *
 * Folders are opened one by one without following links, and everything is read relative to such a descriptor: a
 * running container cannot lead the reader out of its snapshot by swapping a folder for a link.
 */
import * as fs from "node:fs";
import { linux } from "@berth/sys";
import { namesIn } from "./names-in.ts";
import {
  attributesOf,
  entryHeader,
  fileEntry,
  type OverlayPrefix,
  procPath,
  type SourceFile,
} from "./tar-source.ts";
import { TAR_END } from "./tar-writer.ts";

const { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = linux;

interface Walk {
  /** First path of each inode with more than one name. */
  seen: Map<string, string>;
  /** Later times (nanoseconds) are clamped to this one. */
  newest: bigint | undefined;
  prefix: OverlayPrefix;
}

/**
 * Yields the layer's bytes. `newest` is the upper bound on file times, in nanoseconds since the epoch; overlayfs's own
 * attributes have `prefix`.
 */
export async function* makeLayer(
  root: string,
  newest?: bigint,
  prefix: OverlayPrefix = "trusted.overlay.",
): AsyncGenerator<Uint8Array> {
  const fd = linux.syscall("openat", root, linux.AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  try {
    yield* walkFolder(fd, "", { seen: new Map(), newest, prefix });
  } finally {
    linux.close(fd);
  }
  yield TAR_END;
}

async function* walkFolder(dir: number, path: string, walk: Walk): AsyncGenerator<Uint8Array> {
  for (const name of namesIn(dir, path)) {
    const stat = fs.lstatSync(procPath({ dir, name }), { bigint: true, throwIfNoEntry: false });
    // It was removed meanwhile.
    if (stat === undefined) continue;
    yield* writeEntry({ dir, name, path: path === "" ? name : `${path}/${name}`, stat }, walk);
  }
}

async function* writeEntry(file: SourceFile, walk: Walk): AsyncGenerator<Uint8Array> {
  const { dir, name, path, stat } = file;
  const { newest, prefix } = walk;
  const folder = path.slice(0, path.length - name.length);
  if (stat.isCharacterDevice() && stat.rdev === 0n) {
    yield entryHeader({ path: `${folder}.wh.${name}`, stat }, newest, { mode: 0 });
    return;
  }
  // Sockets are meaningless without the listening process.
  if (stat.isSocket()) return;
  let opaque = false;
  const attributes = attributesOf(file, prefix, (mark, value) => {
    if (mark === "opaque") opaque = value === "y";
  });
  if (stat.isDirectory()) {
    const fd = linux.rawSyscall("openat", dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) return;
    try {
      yield entryHeader({ path: `${path}/`, stat }, newest, { type: "5" }, attributes);
      if (opaque) yield entryHeader({ path: `${path}/.wh..wh..opq`, stat }, newest, { mode: 0 });
      yield* walkFolder(fd, path, walk);
    } finally {
      linux.close(fd);
    }
    return;
  }
  if (stat.nlink > 1n) {
    const key = `${stat.dev}:${stat.ino}`;
    const first = walk.seen.get(key);
    if (first !== undefined) {
      yield entryHeader({ path, stat }, newest, { type: "1", linkname: first });
      return;
    }
    walk.seen.set(key, path);
  }
  yield* fileEntry(file, newest, attributes);
}

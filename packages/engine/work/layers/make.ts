/**
 * Creates a layer from an overlay's upper folder (or from a whole folder): the inverse of apply.ts.
 *
 * Folders are opened one by one without following links, and everything is read relative to such a descriptor: a
 * running container cannot lead the reader out of its snapshot by swapping a folder for a link.
 */
import * as fs from "node:fs";
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";
import { TAR_END, type TarFile, tarHeader, tarPadding } from "./tar-writer.ts";

const CHUNK = 256 << 10;
const { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = linux;
const OPAQUE = "trusted.overlay.opaque";

interface Walk {
  /** First path of each inode with more than one name. */
  seen: Map<string, string>;
  /** Later times (nanoseconds) are clamped to this one. */
  newest: bigint | undefined;
}

/** Yields the layer's bytes. `newest` is the upper bound on file times, in nanoseconds since the epoch. */
export async function* makeLayer(root: string, newest?: bigint): AsyncGenerator<Uint8Array> {
  const fd = linux.syscall("openat", root, linux.AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  try {
    yield* walkFolder(fd, "", { seen: new Map(), newest });
  } finally {
    linux.close(fd);
  }
  yield TAR_END;
}

async function* walkFolder(fd: number, path: string, walk: Walk): AsyncGenerator<Uint8Array> {
  const here = `/proc/self/fd/${fd}`;
  for (const name of fs.readdirSync(here).sort()) {
    const inside = `${here}/${name}`;
    const stat = fs.lstatSync(inside, { bigint: true, throwIfNoEntry: false });
    // It was removed meanwhile.
    if (stat === undefined) continue;
    yield* writeEntry(fd, name, path === "" ? name : `${path}/${name}`, stat, walk);
  }
}

function header(
  path: string,
  stat: fs.BigIntStats,
  walk: Walk,
  more: Partial<TarFile>,
  pax = new Map<string, Uint8Array>(),
): Buffer {
  const { newest } = walk;
  const ns = newest !== undefined && stat.mtimeNs > newest ? newest : stat.mtimeNs;
  const seconds = ns / 1_000_000_000n;
  if (ns % 1_000_000_000n !== 0n)
    pax.set("mtime", Buffer.from(`${seconds}.${String(ns % 1_000_000_000n).padStart(9, "0")}`));
  return tarHeader({
    name: path,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: Number(seconds < 0n ? 0n : seconds),
    size: 0,
    pax,
    ...more,
  });
}

async function* writeEntry(
  dir: number,
  name: string,
  path: string,
  stat: fs.BigIntStats,
  walk: Walk,
): AsyncGenerator<Uint8Array> {
  const inside = `/proc/self/fd/${dir}/${name}`;
  const folder = path.slice(0, path.length - name.length);
  if (stat.isCharacterDevice() && stat.rdev === 0n) {
    yield header(`${folder}.wh.${name}`, stat, walk, { mode: 0 });
    return;
  }
  // Sockets are meaningless without the listening process.
  if (stat.isSocket()) return;
  const { pax, opaque } = attributes(inside);
  if (stat.isDirectory()) {
    const fd = linux.rawSyscall("openat", dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) return;
    try {
      yield header(`${path}/`, stat, walk, { type: "5" }, pax);
      if (opaque) yield header(`${path}/.wh..wh..opq`, stat, walk, { mode: 0 });
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
      yield header(path, stat, walk, { type: "1", linkname: first });
      return;
    }
    walk.seen.set(key, path);
  }
  if (stat.isSymbolicLink())
    yield header(path, stat, walk, { type: "2", linkname: linux.readlinkat(dir, name) }, pax);
  else if (stat.isFIFO()) yield header(path, stat, walk, { type: "6" }, pax);
  else if (stat.isFile()) yield* writeFile(dir, name, path, stat, walk, pax);
  else {
    const device = Number(stat.rdev);
    const major = (device >> 8) & 0xfff;
    const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    yield header(path, stat, walk, { type: stat.isBlockDevice() ? "4" : "3", major, minor }, pax);
  }
}

async function* writeFile(
  dir: number,
  name: string,
  path: string,
  stat: fs.BigIntStats,
  walk: Walk,
  pax: Map<string, Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const fd = linux.syscall("openat", path, dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  try {
    const now = fs.fstatSync(fd, { bigint: true });
    if (now.ino !== stat.ino) throw changed(path);
    const size = Number(now.size);
    yield header(path, now, walk, { size }, pax);
    for (let at = 0; at < size; ) {
      const memory = Buffer.allocUnsafe(Math.min(CHUNK, size - at));
      const n = fs.readSync(fd, memory, 0, memory.length, at);
      if (n === 0) throw changed(path);
      yield memory.subarray(0, n);
      at += n;
    }
    yield tarPadding(size);
  } finally {
    linux.close(fd);
  }
}

function changed(path: string): BerthError {
  return new BerthError("failed_precondition", `${path} changed while it was read: failed precondition`, {
    stage: "diff",
    path,
    hint: "pause or stop the container first",
  });
}

/** Extended attributes as pax records, without overlay's own. */
function attributes(path: string): { pax: Map<string, Uint8Array>; opaque: boolean } {
  const pax = new Map<string, Uint8Array>();
  let opaque = false;
  for (const name of linux.llistxattr(path)) {
    const value = linux.lgetxattr(path, name);
    if (value === undefined) continue;
    if (name === OPAQUE) opaque = Buffer.from(value).toString() === "y";
    if (!name.startsWith("trusted.overlay.")) pax.set(`SCHILY.xattr.${name}`, value);
  }
  return { pax, opaque };
}

/** Files as entries of a layer: headers with times and extended attributes, and contents, read without following links. */
import * as fs from "node:fs";
import { BerthError } from "@berth/base";
import { linux } from "@berth/sys";
import { type TarFile, tarHeader, tarPadding } from "./tar-writer.ts";

const CHUNK = 256 << 10;
const { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = linux;

/** Prefix of the attributes that overlayfs keeps on its folders: with the option `userxattr`, it is the second. */
export type OverlayPrefix = "trusted.overlay." | "user.overlay.";

/** A file in an open folder. */
export interface SourceFile {
  /** The folder that has it. */
  dir: number;
  name: string;
  /** Path inside the layer. */
  path: string;
  stat: fs.BigIntStats;
}

/** Names a file for calls that take paths, without following a link. */
export function procPath({ dir, name }: Pick<SourceFile, "dir" | "name">): string {
  return `/proc/self/fd/${dir}/${name}`;
}

/**
 * The header of a file. `newest` is the upper bound on file times, in nanoseconds since the epoch; `more` replaces
 * fields, `attributes` are its extended attributes.
 */
export function entryHeader(
  { path, stat }: Pick<SourceFile, "path" | "stat">,
  newest: bigint | undefined,
  more: Partial<TarFile> = {},
  attributes: ReadonlyMap<string, Uint8Array> = new Map(),
): Buffer {
  const pax = new Map([...attributes].map(([name, value]) => [`SCHILY.xattr.${name}`, value]));
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

/** Extended attributes by name, without overlay's own, which `overlay` gets by the name behind `prefix`. */
export function attributesOf(
  file: Pick<SourceFile, "dir" | "name">,
  prefix: OverlayPrefix = "trusted.overlay.",
  overlay: (name: string, value: string) => void = () => {},
): Map<string, Uint8Array> {
  const path = procPath(file);
  const out = new Map<string, Uint8Array>();
  // The kernel lists them in any order; the layer's must not change.
  for (const name of linux.llistxattr(path).sort()) {
    const value = linux.lgetxattr(path, name);
    if (value === undefined) continue;
    if (name.startsWith(prefix)) overlay(name.slice(prefix.length), Buffer.from(value).toString());
    else out.set(name, value);
  }
  return out;
}

/** The entry of anything that is no folder, no socket and no further name of a file. */
export async function* fileEntry(
  file: SourceFile,
  newest: bigint | undefined,
  attributes: ReadonlyMap<string, Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const { dir, name, stat } = file;
  const header = (more: Partial<TarFile>) => entryHeader(file, newest, more, attributes);
  if (stat.isFile()) yield* contents(file, newest, attributes);
  else if (stat.isSymbolicLink()) yield header({ type: "2", linkname: linux.readlinkat(dir, name) });
  else if (stat.isFIFO()) yield header({ type: "6" });
  else {
    const device = Number(stat.rdev);
    const major = (device >> 8) & 0xfff;
    const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    yield header({ type: stat.isBlockDevice() ? "4" : "3", major, minor });
  }
}

async function* contents(
  file: SourceFile,
  newest: bigint | undefined,
  attributes: ReadonlyMap<string, Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const fd = openFile(file);
  try {
    const now = fs.fstatSync(fd, { bigint: true });
    if (now.ino !== file.stat.ino) throw changed(file.path);
    const size = Number(now.size);
    yield entryHeader({ path: file.path, stat: now }, newest, { size }, attributes);
    for (let at = 0; at < size; ) {
      const memory = Buffer.allocUnsafe(Math.min(CHUNK, size - at));
      const n = fs.readSync(fd, memory, 0, memory.length, at);
      if (n === 0) throw changed(file.path);
      yield memory.subarray(0, n);
      at += n;
    }
    yield tarPadding(size);
  } finally {
    linux.close(fd);
  }
}

/** Opens a file for reading, without following a link or waiting for a FIFO. */
export function openFile({ dir, name, path }: Pick<SourceFile, "dir" | "name" | "path">): number {
  return linux.syscall("openat", path, dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
}

function changed(path: string): BerthError {
  return new BerthError("failed_precondition", `${path} changed while it was read: failed precondition`, {
    stage: "diff",
    path,
    hint: "pause or stop the container first",
  });
}

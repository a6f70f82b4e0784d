/** Whether a file is unchanged from one tree to another: containerd's rules, for the attributes that layers carry. */
import * as fs from "node:fs";
import { linux } from "@berth/sys";
import type { TreeEntry } from "./merged.ts";
import { openFile } from "./tar-source.ts";

const CHUNK = 64 << 10;
const SECOND = 1_000_000_000n;

/**
 * Compares owner, mode, device and extended attributes; and except for folders, whose times follow from what is in
 * them, size and time. Where both times are whole seconds an archive may have cut them: contents are compared.
 */
export function sameFile(left: TreeEntry, right: TreeEntry): boolean {
  const [a, b] = [left.stat, right.stat];
  if (a.dev === b.dev && a.ino === b.ino) return true;
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.rdev !== b.rdev) return false;
  if (!b.isDirectory() && (a.size !== b.size || a.mtimeNs !== b.mtimeNs)) return false;
  if (!sameAttributes(left, right)) return false;
  if (b.isDirectory() || b.mtimeNs % SECOND !== 0n) return true;
  if (b.isSymbolicLink())
    return linux.readlinkat(left.dir, left.name) === linux.readlinkat(right.dir, right.name);
  return !b.isFile() || b.size === 0n || sameContents(left, right);
}

function sameAttributes(left: TreeEntry, right: TreeEntry): boolean {
  const [a, b] = [left.attributes(), right.attributes()];
  if (a.size !== b.size) return false;
  return [...a].every(([name, value]) => {
    const other = b.get(name);
    return other !== undefined && Buffer.compare(value, other) === 0;
  });
}

function sameContents(left: TreeEntry, right: TreeEntry): boolean {
  const fds: number[] = [];
  try {
    for (const each of [left, right]) fds.push(openFile(each));
    const [a, b] = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)];
    for (let at = 0; ; ) {
      const n = fs.readSync(fds[0]!, a, 0, CHUNK, at);
      const m = fs.readSync(fds[1]!, b, 0, CHUNK, at);
      if (n !== m || a.compare(b, 0, m, 0, n) !== 0) return false;
      if (n === 0) return true;
      at += n;
    }
  } finally {
    for (const fd of fds) linux.close(fd);
  }
}

/**
 * File system calls by path, straight to the kernel: loading `node:fs` takes 1.5 ms, which a command of a few milliseconds
 * cannot spare.
 */
import { BerthError, codeOfErrno } from "@berth/base";
import type { FileInfo, FileKind } from "../sys.ts";
import * as abi from "./abi.ts";
import { errnoName, rawSyscall, type SyscallArg } from "./binding.ts";
import { close } from "./files.ts";

const FULL = new Set(["ENOSPC", "EDQUOT"]);
const [ENOENT, ESRCH, EEXIST, ENODEV, ENOTDIR] = [2, 3, 17, 19, 20];
const GONE = new Set([ENOENT, ESRCH, ENODEV, ENOTDIR]);
const AT_REMOVEDIR = 0x200;
const W_OK = 2;
const X_OK = 1;
/** No file that berth reads as a whole is larger. */
const LARGEST = 64 << 20;

/** The error of a failed call, with the usual name of that call ("open", "mkdir"). */
export function failed(call: string, errno: number, path: string): BerthError {
  const name = errnoName(errno);
  return new BerthError(codeOfErrno(name), `${call} ${path}: ${name}`, {
    syscall: call,
    errno: name,
    path,
    ...(FULL.has(name) ? { hint: `make room on the file system of ${path}` } : {}),
  });
}

/** Refuses a path with a NUL byte: the kernel would take the part before it. */
function whole(path: string): string {
  if (path.includes("\0"))
    throw new BerthError(
      "invalid_argument",
      `path: found a NUL byte in ${JSON.stringify(path)}, expected none`,
    );
  return path;
}

function at(name: Parameters<typeof rawSyscall>[0], path: string, ...rest: SyscallArg[]): number {
  return rawSyscall(name, abi.AT_FDCWD, whole(path), ...rest);
}

function check(call: string, result: number, path: string): number {
  if (result < 0) throw failed(call, -result, path);
  return result;
}

/** True on success, false if there was no such file; throws other errors. */
function unlessGone(call: string, result: number, path: string): boolean {
  if (result >= 0) return true;
  if (GONE.has(-result)) return false;
  throw failed(call, -result, path);
}

export function open(path: string, flags: number, mode = 0): number {
  return check("open", at("openat", path, flags | abi.O_CLOEXEC, mode), path);
}

function contentOf(fd: number, path: string): Buffer | number {
  // Files of /proc and cgroups report no size: read until end of file.
  let memory = Buffer.allocUnsafe(16384);
  let used = 0;
  for (;;) {
    if (used === memory.length) {
      if (memory.length >= LARGEST)
        throw new BerthError(
          "out_of_range",
          `${path}: found more than ${LARGEST} bytes, expected a smaller file`,
        );
      memory = Buffer.concat([memory], memory.length * 4);
    }
    const n = rawSyscall("read", fd, memory.subarray(used), memory.length - used);
    if (n < 0) return n;
    if (n === 0) return memory.subarray(0, used);
    used += n;
  }
}

/** Content of a file, or the negated errno. */
function tryRead(path: string): Buffer | number {
  const fd = at("openat", path, abi.O_RDONLY | abi.O_CLOEXEC, 0);
  if (fd < 0) return fd;
  try {
    return contentOf(fd, path);
  } finally {
    close(fd);
  }
}

export function readFile(path: string): Buffer {
  const content = tryRead(path);
  if (typeof content === "number") throw failed("open", -content, path);
  return content;
}

/** Same, but undefined if the file does not exist or went away. */
export function readFileIfAny(path: string): Buffer | undefined {
  const content = tryRead(path);
  if (typeof content !== "number") return content;
  if (GONE.has(-content)) return undefined;
  throw failed("open", -content, path);
}

export function writeAll(fd: number, bytes: Uint8Array, path: string): void {
  for (let done = 0; done < bytes.length; )
    done += check("write", rawSyscall("write", fd, bytes.subarray(done), bytes.length - done), path);
}

/** Writes a file, created or truncated. */
export function writeFile(path: string, content: string | Uint8Array, mode = 0o600): void {
  const fd = open(path, abi.O_WRONLY | abi.O_CREAT | abi.O_TRUNC, mode);
  try {
    writeAll(fd, typeof content === "string" ? Buffer.from(content) : content, path);
  } finally {
    close(fd);
  }
}

/** Appends to a file, created if needed. */
export function appendFile(path: string, content: string, mode: number): void {
  const fd = open(path, abi.O_WRONLY | abi.O_CREAT | abi.O_APPEND, mode);
  try {
    writeAll(fd, Buffer.from(content), path);
  } finally {
    close(fd);
  }
}

/** A single write to an existing file (of a cgroup or /proc). */
export function writeExisting(path: string, content: string): void {
  const fd = open(path, abi.O_WRONLY | abi.O_NOFOLLOW);
  try {
    const bytes = Buffer.from(content);
    check("write", rawSyscall("write", fd, bytes, bytes.length), path);
  } finally {
    close(fd);
  }
}

export function rename(from: string, to: string): void {
  check("rename", rawSyscall("renameat2", abi.AT_FDCWD, whole(from), abi.AT_FDCWD, whole(to), 0), to);
}

export function mkdir(path: string, mode: number): void {
  check("mkdir", at("mkdirat", path, mode), path);
}

export function mkdirAll(path: string, mode: number): void {
  const made = at("mkdirat", path, mode);
  if (made >= 0) return;
  if (made === -EEXIST && stat(path)?.kind === "folder") return;
  const parent = path.replace(/\/+[^/]*\/*$/, "");
  if (made !== -ENOENT || parent === "" || parent === path) throw failed("mkdir", -made, path);
  mkdirAll(parent, mode);
  const again = at("mkdirat", path, mode);
  // Another process may have created it meanwhile.
  if (again < 0 && again !== -EEXIST) throw failed("mkdir", -again, path);
}

export function rmdir(path: string): void {
  check("rmdir", at("unlinkat", path, AT_REMOVEDIR), path);
}

/** Removes a file; false if there was none. */
export function unlink(path: string): boolean {
  return unlessGone("unlink", at("unlinkat", path, 0), path);
}

const KINDS = new Map<number, FileKind>([
  [abi.S_IFREG, "file"],
  [abi.S_IFDIR, "folder"],
  [abi.S_IFLNK, "symlink"],
  [abi.S_IFIFO, "fifo"],
  [abi.S_IFSOCK, "socket"],
  [abi.S_IFCHR, "char"],
  [abi.S_IFBLK, "block"],
]);
const STATX_BASIC_STATS = 0x7ff;

function statx(path: string, flags: number): FileInfo | undefined {
  const memory = Buffer.alloc(256);
  if (!unlessGone("stat", at("statx", path, flags, STATX_BASIC_STATS, memory), path)) return undefined;
  const mode = memory.readUInt16LE(28);
  return {
    kind: KINDS.get(mode & abi.S_IFMT) ?? "file",
    mode: mode & 0o7777,
    uid: memory.readUInt32LE(20),
    gid: memory.readUInt32LE(24),
    size: Number(memory.readBigUInt64LE(40)),
    dev: abi.makedev(memory.readUInt32LE(136), memory.readUInt32LE(140)),
    rdev: abi.makedev(memory.readUInt32LE(128), memory.readUInt32LE(132)),
    ino: Number(memory.readBigUInt64LE(32)),
  };
}

export const stat = (path: string): FileInfo | undefined => statx(path, 0);
export const lstat = (path: string): FileInfo | undefined => statx(path, abi.AT_SYMLINK_NOFOLLOW);
export const writable = (path: string): boolean => at("faccessat", path, W_OK) === 0;
export const executable = (path: string): boolean => at("faccessat", path, X_OK) === 0;

/** Entries of a folder: name, and whether it is a folder (undefined if the file system does not say). */
function entriesOf(path: string): { name: string; folder: boolean | undefined }[] | number {
  const fd = at("openat", path, abi.O_RDONLY | abi.O_DIRECTORY | abi.O_CLOEXEC | abi.O_NOFOLLOW, 0);
  if (fd < 0) return fd;
  try {
    const out: { name: string; folder: boolean | undefined }[] = [];
    const memory = Buffer.allocUnsafe(32768);
    for (;;) {
      const size = rawSyscall("getdents64", fd, memory, memory.length);
      if (size < 0) return size;
      if (size === 0) return out;
      // struct linux_dirent64: inode and offset (8 bytes each), record length (2), type (1), NUL-terminated name.
      for (let p = 0; p < size; p += memory.readUInt16LE(p + 16)) {
        const name = memory.toString("utf8", p + 19, memory.indexOf(0, p + 19));
        const type = memory[p + 18]!;
        if (name !== "." && name !== "..") out.push({ name, folder: type === 0 ? undefined : type === 4 });
      }
    }
  } finally {
    close(fd);
  }
}

/** Names in a folder; undefined if it does not exist. A link to a folder is followed. */
export function list(path: string): string[] | undefined {
  const entries = entriesOf(`${path}/.`);
  if (typeof entries !== "number") return entries.map((entry) => entry.name);
  if (GONE.has(-entries)) return undefined;
  throw failed("scandir", -entries, path);
}

/** Removes a file or a folder, recursively. Links are removed, not followed; no error for what is gone already. */
export function removeTree(path: string): void {
  const entries = entriesOf(path);
  if (typeof entries === "number") {
    if (entries === -ENOENT) return;
    // ENOTDIR: a file; ELOOP: a link.
    unlink(path);
    return;
  }
  for (const { name, folder } of entries) {
    const child = `${path}/${name}`;
    if (folder === false) unlink(child);
    else removeTree(child);
  }
  unlessGone("rmdir", at("unlinkat", path, AT_REMOVEDIR), path);
}

/** Target of a symbolic link; undefined if the file does not exist. */
export function readlink(path: string): string | undefined {
  const memory = Buffer.allocUnsafe(4096);
  const size = at("readlinkat", path, memory, memory.length);
  return unlessGone("readlink", size, path) ? memory.toString("utf8", 0, size) : undefined;
}

/** The path without symbolic links. */
export function realpath(path: string): string {
  const fd = open(path, abi.O_PATH);
  try {
    return readlink(`/proc/self/fd/${fd}`)!;
  } finally {
    close(fd);
  }
}

export function chmod(path: string, mode: number): void {
  check("chmod", at("fchmodat", path, mode), path);
}

/** File system calls relative to a descriptor, which `node:fs` lacks. */
import * as abi from "./abi.ts";
import { rawSyscall, syscall, syscallError } from "./binding.ts";

/** openat2(2): opens `path` below `dirfd` with resolve flags; the descriptor is close-on-exec. */
export function openat2(dirfd: number, path: string, flags: number, mode: number, resolve: number): number {
  const how = abi.packOpenHow(flags | abi.O_CLOEXEC, mode, resolve);
  for (;;) {
    const fd = rawSyscall("openat2", dirfd, path, how, 24);
    // EAGAIN: a rename or mount raced with RESOLVE_IN_ROOT's walk; openat2(2) says to retry.
    if (fd === -11) continue;
    if (fd < 0) throw syscallError("openat2", -fd, path);
    return fd;
  }
}

/** close(2); errors are ignored. */
export function close(fd: number): void {
  rawSyscall("close", fd);
}

export function mkdirat(dirfd: number, path: string, mode: number): void {
  syscall("mkdirat", path, dirfd, path, mode);
}

/** mknodat(2); `mode` carries the type (S_IFCHR and so on), `device` comes from `makedev`. */
export function mknodat(dirfd: number, path: string, mode: number, device: number): void {
  syscall("mknodat", path, dirfd, path, mode, device);
}

export function symlinkat(target: string, dirfd: number, path: string): void {
  syscall("symlinkat", path, target, dirfd, path);
}

export function linkat(fromFd: number, from: string, toFd: number, to: string, flags = 0): void {
  syscall("linkat", to, fromFd, from, toFd, to, flags);
}

export function unlinkat(dirfd: number, path: string, flags = 0): void {
  syscall("unlinkat", path, dirfd, path, flags);
}

export function renameat2(fromFd: number, from: string, toFd: number, to: string, flags = 0): void {
  syscall("renameat2", from, fromFd, from, toFd, to, flags);
}

export function fchownat(dirfd: number, path: string, uid: number, gid: number, flags = 0): void {
  syscall("fchownat", path, dirfd, path, uid, gid, flags);
}

/** fchmodat(2). It follows a final symbolic link: make sure that there is none. */
export function fchmodat(dirfd: number, path: string, mode: number): void {
  syscall("fchmodat", path, dirfd, path, mode);
}

/** utimensat(2) with nanoseconds since the epoch. */
export function utimensat(dirfd: number, path: string, atimeNs: bigint, mtimeNs: bigint, flags = 0): void {
  syscall("utimensat", path, dirfd, path, abi.packTimes(atimeNs, mtimeNs), flags);
}

export function readlinkat(dirfd: number, path: string): string {
  const memory = Buffer.alloc(4096);
  return memory.toString("utf8", 0, syscall("readlinkat", path, dirfd, path, memory, memory.length));
}

/** lsetxattr(2): does not follow a final symbolic link. */
export function lsetxattr(path: string, name: string, value: Uint8Array): void {
  syscall("lsetxattr", path, path, name, value, value.length, 0);
}

/** fsetxattr(2); `fd` must not be O_PATH. */
export function fsetxattr(fd: number, name: string, value: Uint8Array): void {
  syscall("fsetxattr", name, fd, name, value, value.length, 0);
}

/** lgetxattr(2); undefined if there is no such attribute, or the file system has none at all. */
export function lgetxattr(path: string, name: string): Uint8Array | undefined {
  for (let size = 256; ; size *= 4) {
    const memory = Buffer.alloc(size);
    const n = rawSyscall("lgetxattr", path, name, memory, size);
    if (n >= 0) return memory.subarray(0, n);
    if (n === -61 || n === -95) return undefined; // ENODATA, EOPNOTSUPP
    if (n !== -34) throw syscallError("lgetxattr", -n, path); // ERANGE: try a larger buffer
  }
}

/** llistxattr(2): names of the extended attributes. */
export function llistxattr(path: string): string[] {
  for (let size = 1024; ; size *= 4) {
    const memory = Buffer.alloc(size);
    const n = rawSyscall("llistxattr", path, memory, size);
    if (n >= 0) return memory.toString("utf8", 0, n).split("\0").filter(Boolean);
    if (n === -95) return [];
    if (n !== -34) throw syscallError("llistxattr", -n, path);
  }
}

/** syncfs(2): writes back the file system of `fd`. */
export function syncfs(fd: number): void {
  syscall("syncfs", undefined, fd);
}

/** flock(2), exclusive and non-blocking: false if another process holds the lock. */
export function tryLock(fd: number): boolean {
  const result = rawSyscall("flock", fd, 2 | 4); // LOCK_EX | LOCK_NB
  if (result === -11) return false;
  if (result < 0) throw syscallError("flock", -result);
  return true;
}

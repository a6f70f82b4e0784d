/** {@link Sys} on Linux. Modules of the JavaScript engine are loaded on use: each costs a short command more than its work. */
import type { Sys } from "../sys.ts";
import * as abi from "./abi.ts";
import { libraryFolder, rawSyscall, syscall, syscallAsync, syscallError } from "./binding.ts";
import * as files from "./by-name.ts";
import { close, fchownat, openat2, symlinkat, tryLock } from "./files.ts";
import { connectLines, readLines } from "./lines.ts";
import { attachLoop } from "./loop.ts";
import { mount, umount } from "./mounts.ts";
import { netlinkDump } from "./netlink.ts";
import { becomeSubreaper, kill, pidfdOpen, pidfdSignal, pipe, reap, spawn } from "./processes.ts";
import { run } from "./programs.ts";
import { bindDatagram, connectUnix, receiveMessage, sendDescriptor, socketPair } from "./sockets.ts";
import { copyTerminalSize, makeRaw, restoreTerminal } from "./terminal.ts";

const F_ADD_SEALS = 1033;
const F_DUPFD_CLOEXEC = 1030;
const ALL_SEALS = 0xf; // seal, shrink, grow, write

/** Per call; the kernel copies as much as there is. */
const LARGEST_COPY = 1 << 30;

/**
 * Duplicates a descriptor to a number above those that spawned programs get, so that it can be executed by its number;
 * lower if RLIMIT_NOFILE leaves no room there.
 */
function aboveOthers(name: string, fd: number): number {
  for (let floor = 128; ; floor /= 2) {
    const copy = rawSyscall("fcntl", fd, F_DUPFD_CLOEXEC, floor);
    if (copy >= 0) return copy;
    if (copy !== -abi.EINVAL || floor <= 8) throw syscallError("fcntl", -copy, name);
  }
}

/** An anonymous file that `fill` writes, sealed afterwards. */
function sealed(name: string, fill: (fd: number) => void): number {
  const fd = syscall("memfd_create", name, name, 3); // MFD_CLOEXEC | MFD_ALLOW_SEALING
  try {
    fill(fd);
    syscall("fcntl", name, fd, F_ADD_SEALS, ALL_SEALS);
    return aboveOthers(name, fd);
  } finally {
    close(fd);
  }
}

/** A day; callers that still wait poll again. */
const FOREVER_MS = 86_400_000;

/** A struct pollfd. */
function pollSet(fd: number, events: number): Buffer {
  const memory = Buffer.alloc(8);
  memory.writeInt32LE(fd, 0);
  memory.writeInt16LE(events, 4);
  return memory;
}

function pollTime(timeoutMs: number): BigInt64Array {
  return new BigInt64Array([BigInt(Math.floor(timeoutMs / 1000)), BigInt(timeoutMs % 1000) * 1_000_000n]);
}

/** The machine this program runs on. */
export const realSys: Sys = {
  readFile: files.readFile,
  readText: (path) => files.readFile(path).toString(),
  readTextIfAny: (path) => files.readFileIfAny(path)?.toString(),
  writeFile: files.writeFile,
  replaceFile: (path, content, mode = 0o600) => {
    const fresh = `${path}.new`;
    try {
      files.writeFile(fresh, content, mode);
      files.rename(fresh, path);
    } catch (error) {
      files.unlink(fresh);
      throw error;
    }
  },
  rename: files.rename,
  appendFile: files.appendFile,
  writeExisting: files.writeExisting,
  mkdir: files.mkdir,
  mkdirAll: files.mkdirAll,
  rmdir: files.rmdir,
  unlink: files.unlink,
  removeTree: files.removeTree,
  list: files.list,
  stat: files.stat,
  lstat: files.lstat,
  writable: files.writable,
  executable: files.executable,
  realpath: files.realpath,
  readlink: files.readlink,
  symlink: (target, path) => symlinkat(target, abi.AT_FDCWD, path),
  chmod: files.chmod,
  lchown: (path, uid, gid) => fchownat(abi.AT_FDCWD, path, uid, gid, abi.AT_SYMLINK_NOFOLLOW),
  attachLoop,
  mount,
  umount,
  mkfifo: (path, mode) => {
    syscall("mknodat", path, abi.AT_FDCWD, path, abi.S_IFIFO | mode, 0);
  },

  open: files.open,
  openInRoot: (root, path, flags) => {
    const fd = syscall("openat", root, abi.AT_FDCWD, root, abi.O_PATH | abi.O_DIRECTORY | abi.O_CLOEXEC, 0);
    try {
      return openat2(fd, path, flags, 0, abi.RESOLVE_IN_ROOT | abi.RESOLVE_NO_MAGICLINKS);
    } finally {
      close(fd);
    }
  },
  close,
  read: async (fd, size) => {
    const memory = Buffer.allocUnsafe(size);
    return memory.subarray(0, await syscallAsync("read", `descriptor ${fd}`, fd, memory, size));
  },
  readSync: (fd, size) => {
    const memory = Buffer.allocUnsafe(size);
    return memory.subarray(0, syscall("read", `descriptor ${fd}`, fd, memory, size));
  },
  write: (fd, bytes) => files.writeAll(fd, bytes, `descriptor ${fd}`),
  tryLock,
  sealedFile: (name, content) => sealed(name, (fd) => realSys.write(fd, content)),
  sealedCopy: (name, path) =>
    sealed(name, (fd) => {
      const from = files.open(path, abi.O_RDONLY);
      try {
        while (syscall("sendfile", path, fd, from, null, LARGEST_COPY) > 0);
      } finally {
        close(from);
      }
    }),
  socketPair: (kind = "stream") => socketPair(kind),
  connectUnix: (path, kind = "stream") => connectUnix(path, kind),
  connectLines,
  readLines,
  bindDatagram,
  pipe,
  receive: async (fd, size) => {
    await realSys.poll(fd, abi.POLLIN, FOREVER_MS);
    return receiveMessage(fd, size);
  },
  sendDescriptor,
  poll: async (fd, events, timeoutMs) => {
    const memory = pollSet(fd, events);
    const n = await syscallAsync("ppoll", undefined, memory, 1, pollTime(timeoutMs), null, 0);
    return n === 0 ? 0 : memory.readInt16LE(6);
  },

  netlinkDump,
  spawn,
  run,
  reap,
  kill,
  pidfdOpen,
  pidfdSignal,
  becomeSubreaper,

  makeRaw,
  restoreTerminal,
  copyTerminalSize,

  libraryFolder,
  programPath: () => process.execPath,
  processors: () => process.getBuiltinModule("node:os").availableParallelism(),
  kernelRelease: () => realSys.readText("/proc/sys/kernel/osrelease").trim(),
  arch: () => process.arch,
  pid: () => process.pid,
  uid: () => process.getuid?.() ?? 0,
  gid: () => process.getgid?.() ?? 0,
  cwd: () => process.cwd(),
  chdir: (path) => process.chdir(path),
  env: (name) => process.env[name],
  environment: () => ({ ...process.env }) as Record<string, string>,
  onSignal: (signal, listener) => void process.on(signal, listener),
  onUncaught: (listener) => {
    process.on("uncaughtException", (error) => listener(error, "exception"));
    process.on("unhandledRejection", (error) => listener(error, "rejection"));
  },
  exit: (code) => process.exit(code),
  monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** How long a command blocks before it moves the wait to a thread, in milliseconds. */
const PATIENCE_MS = 20;

function waitHere(fd: number, events: number, timeoutMs: number): number {
  const memory = pollSet(fd, events);
  return rawSyscall("ppoll", memory, 1, pollTime(timeoutMs), null, 0) > 0 ? memory.readInt16LE(6) : 0;
}

/**
 * The machine for a command that does one thing and exits: it blocks for short waits, as starting the engine's threads takes
 * longer than most of them. Signals are handled up to 20 ms late.
 */
export const commandSys: Sys = {
  ...realSys,
  read: async (fd, size) =>
    waitHere(fd, abi.POLLIN, PATIENCE_MS) === 0 ? realSys.read(fd, size) : realSys.readSync(fd, size),
  receive: async (fd, size) => {
    if (waitHere(fd, abi.POLLIN, PATIENCE_MS) === 0) await realSys.poll(fd, abi.POLLIN, FOREVER_MS);
    return receiveMessage(fd, size);
  },
  poll: async (fd, events, timeoutMs) =>
    waitHere(fd, events, Math.min(PATIENCE_MS, timeoutMs)) || realSys.poll(fd, events, timeoutMs),
};

/** exit_group(2): skips the engine's own cleanup (1 ms), for commands that have written all their output. */
export function exitNow(code: number): never {
  syscall("exit_group", undefined, code);
  throw new Error("exit_group returned");
}

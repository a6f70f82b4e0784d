/**
 * The one interface through which `packages/runtime` and `packages/shim` touch the machine: files, processes,
 * sockets. {@link realSys} is Linux, {@link FakeSys} (fake.ts) a machine in memory that records what was asked of it.
 *
 * Every method throws a BerthError that names system call, errno and path, unless its comment says otherwise.
 */

/** What kind of file a path is. */
export type FileKind = "file" | "folder" | "symlink" | "fifo" | "socket" | "char" | "block";

/** What stat(2) tells, as far as berth needs it. */
export interface FileInfo {
  kind: FileKind;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Device number of the file's file system, and the file's own for nodes. */
  dev: number;
  rdev: number;
  ino: number;
}

/** How to start a program. */
export interface SpawnOptions {
  /** Absolute path of the executable. */
  path: string;
  /** Arguments, the program's name first. */
  argv: readonly string[];
  /** Environment as KEY=value. */
  env: readonly string[];
  /** fds[i] becomes the child's descriptor i; -1 leaves it closed. */
  fds: readonly number[];
  /** Make the child a session leader. Default: false. */
  setsid?: boolean;
}

/** The machine. */
export interface Sys {
  /** Contents of a whole file of at most 64 MiB. */
  readFile(path: string): Uint8Array;
  readText(path: string): string;
  /** Same as readText, but undefined when there is no such file (or it went away: ENODEV, ESRCH). */
  readTextIfAny(path: string): string | undefined;
  /** Writes an existing or new file. Default mode: 0600. */
  writeFile(path: string, content: string | Uint8Array, mode?: number): void;
  /** Writes a new file beside the old one and renames it over: a reader sees the old or the new, never a part. */
  replaceFile(path: string, content: string | Uint8Array, mode?: number): void;
  /** Gives a file or folder another name on the same file system, in one step. */
  rename(from: string, to: string): void;
  /** Adds to the end of a file, made if it is missing. */
  appendFile(path: string, content: string, mode: number): void;
  /** Writes into an existing file (cgroup, /proc) with a single write. */
  writeExisting(path: string, content: string): void;
  /** Makes a folder; "already_exists" when it is there. */
  mkdir(path: string, mode: number): void;
  /** Makes a folder and its parents; no error when it is there. */
  mkdirAll(path: string, mode: number): void;
  rmdir(path: string): void;
  /** Removes a file; false when there was none. */
  unlink(path: string): boolean;
  /** Removes a folder with all below it, not following links; no error when there is none. */
  removeTree(path: string): void;
  /** Names in a folder; undefined when there is none. */
  list(path: string): string[] | undefined;
  /** stat(2), following links; undefined when there is no such file. */
  stat(path: string): FileInfo | undefined;
  /** lstat(2). */
  lstat(path: string): FileInfo | undefined;
  /** May the caller write there (W_OK)? False too when there is no such file. */
  writable(path: string): boolean;
  realpath(path: string): string;
  /** Text of a symbolic link; undefined when there is no such file. */
  readlink(path: string): string | undefined;
  mkfifo(path: string, mode: number): void;
  chmod(path: string, mode: number): void;

  /** open(2), close-on-exec. */
  open(path: string, flags: number, mode?: number): number;
  /** openat2(2) with RESOLVE_IN_ROOT below the folder `root`: links, also absolute ones, stay inside. */
  openInRoot(root: string, path: string, flags: number): number;
  close(fd: number): void;
  /** Reads up to `size` bytes without waiting for more than one read; on a thread, so that waiting blocks nobody. */
  read(fd: number, size: number): Promise<Uint8Array>;
  readSync(fd: number, size: number): Uint8Array;
  write(fd: number, bytes: Uint8Array): void;
  /** A sealed, anonymous file with this content: nobody can change it any more. */
  sealedFile(name: string, content: Uint8Array): number;
  /** The same with what a file holds; copied by the kernel. */
  sealedCopy(name: string, path: string): number;
  /** Two connected unix sockets: a stream (default), or one that keeps messages apart. */
  socketPair(kind?: "stream" | "packets"): [number, number];
  /** Connects to a unix socket (default: stream); a path that begins with NUL is an abstract name. */
  connectUnix(path: string, kind?: "stream" | "datagram"): number;
  /** Makes a unix datagram socket that receives at `path`. */
  bindDatagram(path: string): number;
  /** pipe2(2), close-on-exec: [read end, write end]. */
  pipe(): [number, number];
  /** Waits for a message of at most `size` bytes, with the descriptors that come along; no bytes: the peer has closed. */
  receive(fd: number, size: number): Promise<{ bytes: Uint8Array; descriptors: number[] }>;
  /** Sends bytes and a copy of a descriptor over a unix socket. */
  sendDescriptor(fd: number, bytes: Uint8Array, descriptor: number): void;
  /** poll(2) for one descriptor on a thread: the events that are set, 0 when the time is over. */
  poll(fd: number, events: number, timeoutMs: number): Promise<number>;

  /** posix_spawn(3): the child's pid. */
  spawn(options: SpawnOptions): number;
  /** The exit code of an ended child, or undefined while it runs. */
  reap(pid: number): number | undefined;
  /** kill(2); false when there is no such process. */
  kill(pid: number, signal: number): boolean;
  /** pidfd_open(2); undefined when there is no such process. */
  pidfdOpen(pid: number): number | undefined;
  /** pidfd_send_signal(2); false when the process is gone. */
  pidfdSignal(pidfd: number, signal: number): boolean;
  /** Become, or with false cease to be, the parent of one's descendants' orphans. */
  becomeSubreaper(on?: boolean): void;

  /** Makes a terminal hand on every key as it is; what {@link restoreTerminal} takes, or undefined when it is none. */
  makeRaw(fd: number): Uint8Array | undefined;
  restoreTerminal(fd: number, modes: Uint8Array): void;
  /** Gives one terminal the size of another; nothing happens when one of them is none. */
  copyTerminalSize(from: number, to: number): void;

  /**
   * Objects of a kind in the caller's network namespace, by rtnetlink(7): RTM_GETLINK or RTM_GETADDR; `family` is 0 for
   * any. Each is the body of an answer: a fixed structure, then attributes.
   */
  netlinkDump(type: number, family: number): Uint8Array[];

  /** Folder with berth-init. */
  libraryFolder(): string;
  /** Kernel release, "6.1.0-13-amd64". */
  kernelRelease(): string;
  /** Machine name as Node calls it: "x64", "arm64". */
  arch(): string;
  pid(): number;
  uid(): number;
  gid(): number;
  cwd(): string;
  /** Variable of the environment. */
  env(name: string): string | undefined;
  /** CLOCK_MONOTONIC in milliseconds, the clock of berth-init's records. */
  monotonicMs(): number;
  /** Resolves after a time in milliseconds. */
  sleep(ms: number): Promise<void>;
}

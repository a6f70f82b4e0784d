/**
 * The one interface through which `packages/runtime` and `packages/shim` touch the machine: files, processes,
 * sockets. {@link realSys} is Linux, {@link FakeSys} (fake.ts) an in-memory machine that records the calls.
 *
 * Every method throws a BerthError with the system call, errno and path, unless its comment says otherwise.
 */

/** File type. */
export type FileKind = "file" | "folder" | "symlink" | "fifo" | "socket" | "char" | "block";

/** The fields of stat(2) that berth uses. */
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

/** Options of {@link Sys.spawn}. */
export interface SpawnOptions {
  /** Absolute path of the executable. */
  path: string;
  /** Arguments, argv[0] first. */
  argv: readonly string[];
  /** Environment as KEY=value. */
  env: readonly string[];
  /** fds[i] becomes the child's descriptor i; -1 leaves it closed. */
  fds: readonly number[];
  /** Make the child a session leader. Default: false. */
  setsid?: boolean;
}

/** Options of {@link Sys.run}. */
export interface RunOptions {
  /** Absolute path of the executable. */
  path: string;
  /** Arguments after argv[0]. */
  args: readonly string[];
  /** Working directory. */
  cwd: string;
  env: Readonly<Record<string, string>>;
  /** Standard input. Default: none, /dev/null. */
  input?: Uint8Array;
  /** SIGKILL is sent after this time. */
  timeoutMs: number;
  /** Output beyond this many bytes (stdout and stderr together) is dropped. */
  maxOutput: number;
}

/** How a program ended, and what it wrote. */
export interface RunResult {
  /** Exit code; undefined if a signal killed it. */
  code: number | undefined;
  /** "SIGKILL"; undefined if it exited by itself. */
  signal: string | undefined;
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** It wrote more than `maxOutput` bytes. */
  truncated: boolean;
}

/** Callbacks of a {@link LineChannel}. */
export interface LineEvents {
  /** A line, without its newline. */
  onLine(line: string): void;
  /** The channel is closed, by either end or by an error; called once. */
  onClose?(): void;
}

/** A stream of lines. It does not keep the process alive. */
export interface LineChannel {
  /** True as soon as nothing can be sent any more; the close callback may still be pending. */
  readonly closed: boolean;
  /** Sends a line; the newline is added. */
  send(line: string): void;
  close(): void;
}

/** The machine. */
export interface Sys {
  /** Contents of a whole file of at most 64 MiB. */
  readFile(path: string): Uint8Array;
  readText(path: string): string;
  /** Same as readText, but undefined if the file does not exist, or went away (ENODEV, ESRCH). */
  readTextIfAny(path: string): string | undefined;
  /** Writes an existing or new file. Default mode: 0600. */
  writeFile(path: string, content: string | Uint8Array, mode?: number): void;
  /** Writes a new file and renames it over the old one: a reader sees either, never a part. */
  replaceFile(path: string, content: string | Uint8Array, mode?: number): void;
  /** rename(2): atomic, within one file system. */
  rename(from: string, to: string): void;
  /** Appends to a file, creating it if needed. */
  appendFile(path: string, content: string, mode: number): void;
  /** Writes to an existing file (cgroup, /proc) with a single write. */
  writeExisting(path: string, content: string): void;
  /** Creates a folder; "already_exists" if there is one. */
  mkdir(path: string, mode: number): void;
  /** Creates a folder and its parents; no error if it exists. */
  mkdirAll(path: string, mode: number): void;
  rmdir(path: string): void;
  /** Removes a file; false if there was none. */
  unlink(path: string): boolean;
  /** Removes a folder recursively, without following links; no error if there is none. */
  removeTree(path: string): void;
  /** Names in a folder; undefined if it does not exist. */
  list(path: string): string[] | undefined;
  /** stat(2): follows links; undefined if the file does not exist. */
  stat(path: string): FileInfo | undefined;
  /** lstat(2). */
  lstat(path: string): FileInfo | undefined;
  /** access(2) with W_OK; false if the file does not exist. */
  writable(path: string): boolean;
  /** access(2) with X_OK; false if the file does not exist. */
  executable(path: string): boolean;
  realpath(path: string): string;
  /** Target of a symbolic link; undefined if the file does not exist. */
  readlink(path: string): string | undefined;
  symlink(target: string, path: string): void;
  mkfifo(path: string, mode: number): void;
  chmod(path: string, mode: number): void;
  /** Changes the owner, without following a final link. */
  lchown(path: string, uid: number, gid: number): void;
  /**
   * Attaches a regular file to a free loop device, which detaches itself when it is neither open nor mounted any more. Close
   * the descriptor once it is mounted.
   */
  attachLoop(file: string, readonly: boolean): Promise<{ path: string; fd: number }>;
  /** mount(2); `data` is the file system's option string. */
  mount(source: string, target: string, type: string, flags: number, data?: string): void;
  /** umount2(2), on a thread: unmounting may write back and block. */
  umount(target: string, flags: number): Promise<void>;

  /** open(2), close-on-exec. */
  open(path: string, flags: number, mode?: number): number;
  /** openat2(2) with RESOLVE_IN_ROOT below `root`: links stay inside, absolute ones too. */
  openInRoot(root: string, path: string, flags: number): number;
  close(fd: number): void;
  /** A single read of up to `size` bytes, on a thread. */
  read(fd: number, size: number): Promise<Uint8Array>;
  readSync(fd: number, size: number): Uint8Array;
  write(fd: number, bytes: Uint8Array): void;
  /** flock(2), exclusive and non-blocking: false if another process holds the lock. */
  tryLock(fd: number): boolean;
  /** An anonymous file with this content, sealed against any change. */
  sealedFile(name: string, content: Uint8Array): number;
  /** The same with the content of a file, copied by the kernel. */
  sealedCopy(name: string, path: string): number;
  /** socketpair(2): a stream (default), or SOCK_SEQPACKET. */
  socketPair(kind?: "stream" | "packets"): [number, number];
  /** Connects to a unix socket (default: stream); a leading NUL makes the name an abstract one. */
  connectUnix(path: string, kind?: "stream" | "datagram"): number;
  /** Connects to a unix stream socket and reads its lines; undefined if nobody listens. */
  connectLines(path: string, events: LineEvents, maxLine: number): Promise<LineChannel | undefined>;
  /**
   * Reads the lines of a non-blocking descriptor, which the channel owns from now on. Of a line that is longer than
   * `maxLine`, the rest is dropped.
   */
  readLines(fd: number, events: LineEvents, maxLine: number): LineChannel;
  /** Binds a unix datagram socket to `path`. */
  bindDatagram(path: string): number;
  /** pipe2(2), close-on-exec: [read end, write end]. */
  pipe(): [number, number];
  /** Waits for a message of at most `size` bytes, with its descriptors; no bytes: the peer has closed. */
  receive(fd: number, size: number): Promise<{ bytes: Uint8Array; descriptors: number[] }>;
  /** Sends bytes and a copy of a descriptor over a unix socket. */
  sendDescriptor(fd: number, bytes: Uint8Array, descriptor: number): void;
  /** poll(2) of one descriptor, on a thread: the events that are set, 0 on timeout. */
  poll(fd: number, events: number, timeoutMs: number): Promise<number>;

  /** posix_spawn(3): the child's pid. */
  spawn(options: SpawnOptions): number;
  /** Runs a program until it exits. What it leaves running may hold its output open. */
  run(options: RunOptions): Promise<RunResult>;
  /** Exit code of a child (128 + signal if killed); undefined while it runs. */
  reap(pid: number): number | undefined;
  /** kill(2); false if there is no such process. */
  kill(pid: number, signal: number): boolean;
  /** pidfd_open(2); undefined if there is no such process. */
  pidfdOpen(pid: number): number | undefined;
  /** pidfd_send_signal(2); false if the process is gone. */
  pidfdSignal(pidfd: number, signal: number): boolean;
  /** PR_SET_CHILD_SUBREAPER, on or off. */
  becomeSubreaper(on?: boolean): void;

  /** Puts a terminal into raw mode; returns the modes for {@link restoreTerminal}, undefined if it is no terminal. */
  makeRaw(fd: number): Uint8Array | undefined;
  restoreTerminal(fd: number, modes: Uint8Array): void;
  /** Copies the window size; does nothing if either is no terminal. */
  copyTerminalSize(from: number, to: number): void;

  /**
   * Dumps objects of the caller's network namespace by rtnetlink(7): RTM_GETLINK or RTM_GETADDR; `family` is 0 for any.
   * Each is the body of an answer: a fixed structure, then attributes.
   */
  netlinkDump(type: number, family: number): Uint8Array[];

  /** Folder with berth-init. */
  libraryFolder(): string;
  /** Path of this process's executable. */
  programPath(): string;
  /** Processors this process may use. */
  processors(): number;
  /** Kernel release, "6.1.0-13-amd64". */
  kernelRelease(): string;
  /** Architecture in Node's naming: "x64", "arm64". */
  arch(): string;
  pid(): number;
  uid(): number;
  gid(): number;
  cwd(): string;
  chdir(path: string): void;
  /** A variable of the environment. */
  env(name: string): string | undefined;
  /** All variables of the environment. */
  environment(): Record<string, string>;
  /** Calls `listener` for each such signal; this process no longer ends by it. */
  onSignal(signal: "SIGINT" | "SIGTERM", listener: () => void): void;
  /** Calls `listener` for errors that nothing caught; this process no longer ends by them. */
  onUncaught(listener: (error: unknown, kind: "exception" | "rejection") => void): void;
  /** Ends this process. */
  exit(code: number): void;
  /** CLOCK_MONOTONIC in milliseconds, the clock of berth-init's records. */
  monotonicMs(): number;
  sleep(ms: number): Promise<void>;
}

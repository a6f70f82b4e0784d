/**
 * An in-memory machine that records the calls, for tests without root. Files, folders, pipes and locks work; processes,
 * programs and the peers of sockets are up to the test.
 */
import { BerthError, codeOfErrno } from "@berth/base";
import { FakePeer } from "./fake-peer.ts";
import { O_CREAT, POLLIN } from "./linux/abi.ts";
import type {
  FileInfo,
  FileKind,
  LineChannel,
  LineEvents,
  RunOptions,
  RunResult,
  SpawnOptions,
  Sys,
} from "./sys.ts";

/** A file of {@link FakeSys}. */
export interface FakeFile {
  kind: FileKind;
  content: Uint8Array;
  mode: number;
  dev?: number;
  ino?: number;
}

/** An open descriptor. */
interface FakeFd {
  path: string;
  file: FakeFile;
  /** What can be read; for the end of a pipe or socket. */
  queue: Uint8Array[];
  /** The other end. */
  peer?: FakeFd;
  /** Answers of a socket's server. */
  answer?: (request: Uint8Array) => Uint8Array | undefined;
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

function parent(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

/** See the module comment. */
export class FakeSys implements Sys {
  /** Every call that changes something, in order: "mkdir /a 700". */
  readonly calls: string[] = [];
  /** Open descriptors; a test that ends with more than it began with has found a leak. */
  readonly fds = new Map<number, FakeFd>();
  readonly files = new Map<string, FakeFile>([
    ["/", { kind: "folder", content: new Uint8Array(), mode: 0o755 }],
  ]);
  /** Signals by pid; a pid that is not listed does not exist. */
  readonly processes = new Map<number, number[]>();
  readonly spawned: SpawnOptions[] = [];
  /** Called by {@link spawn} while the child's descriptors are open, so that a test can act as the child. */
  onSpawn: ((options: SpawnOptions, pid: number) => void) | undefined;
  /** Children that have not exited, for {@link reap}. */
  readonly running = new Set<number>();
  /** Exit codes of children; default: 0. */
  readonly exitCodes = new Map<number, number>();
  /** Programs that {@link run} finds, by path. */
  readonly programs = new Map<string, (options: RunOptions) => Partial<RunResult>>();
  readonly ran: RunOptions[] = [];
  readonly variables: Record<string, string> = {};
  /** Called after every write to an existing file, so that a test can act as the kernel. */
  onWrite: ((path: string, content: string) => void) | undefined;
  /** Paths that are locked by another process. */
  readonly locked = new Set<string>();
  readonly mounted = new Set<string>();
  readonly signalListeners = new Map<string, () => void>();
  /** Exit code of this process. */
  exited: number | undefined;
  readonly #output = new Map<number, Uint8Array[]>();
  readonly #acceptors = new Map<string, (peer: FakePeer) => void>();
  readonly #answers = new Map<string, (request: Uint8Array) => Uint8Array | undefined>();
  #nextFd = 100;
  #nextInode = 1;
  #now = 0;
  #cwd = "/";

  /** Creates a file, with its folders. */
  put(path: string, content: string, kind: FileKind = "file", mode = 0o644): this {
    this.mkdirAll(parent(path), 0o755);
    this.files.set(path, { kind, content: utf8.encode(content), mode });
    return this;
  }

  /** Listens on a unix stream socket for {@link connectLines}; `accept` gets the far end of each connection. */
  listen(path: string, accept: (peer: FakePeer) => void): this {
    this.#acceptors.set(path, accept);
    return this.put(path, "", "socket");
  }

  /** The listening process exits: the socket's file stays. */
  stopListening(path: string): void {
    this.#acceptors.delete(path);
  }

  /** Listens on a unix socket for {@link connectUnix}; `answer` is called for each write. */
  serve(path: string, answer: (request: Uint8Array) => Uint8Array | undefined): this {
    this.#answers.set(path, answer);
    return this.put(path, "", "socket");
  }

  /** What was written to a descriptor that leads out of the machine, such as standard output. */
  output(fd: number): Buffer {
    return Buffer.concat(this.#output.get(fd) ?? []);
  }

  /** Makes bytes readable at a descriptor. */
  feed(fd: number, bytes: Uint8Array): void {
    if (!this.fds.has(fd)) this.#addFd(`descriptor ${fd}`, undefined, fd);
    this.fds.get(fd)!.queue.push(bytes);
  }

  #addFd(path: string, file: FakeFile | undefined, fd = this.#nextFd++): number {
    const none: FakeFile = { kind: "file", content: new Uint8Array(), mode: 0o600 };
    this.fds.set(fd, { path, file: file ?? none, queue: [] });
    return fd;
  }

  #addPair(path: string): [number, number] {
    const [a, b] = [this.#addFd(path, undefined), this.#addFd(path, undefined)];
    this.fds.get(a)!.peer = this.fds.get(b)!;
    this.fds.get(b)!.peer = this.fds.get(a)!;
    return [a, b];
  }

  #fail(call: string, path: string, errno: string): never {
    throw new BerthError(codeOfErrno(errno), `${call} ${path}: ${errno}`, { syscall: call, errno, path });
  }
  #find(path: string): FakeFile | undefined {
    const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1];
    return fd === undefined ? this.files.get(path) : this.fds.get(Number(fd))?.file;
  }
  #get(call: string, path: string): FakeFile {
    return this.#find(path) ?? this.#fail(call, path, "ENOENT");
  }

  readFile(path: string): Uint8Array {
    const file = this.#get("open", path);
    return file.kind === "folder" ? this.#fail("read", path, "EISDIR") : file.content;
  }
  readText(path: string): string {
    return text.decode(this.readFile(path));
  }
  readTextIfAny(path: string): string | undefined {
    return this.files.has(path) ? this.readText(path) : undefined;
  }
  writeFile(path: string, content: string | Uint8Array, mode = 0o600): void {
    if (this.files.get(parent(path))?.kind !== "folder") this.#fail("open", path, "ENOENT");
    this.calls.push(`write ${path}`);
    this.files.set(path, {
      kind: "file",
      content: typeof content === "string" ? utf8.encode(content) : content,
      mode,
    });
  }
  replaceFile(path: string, content: string | Uint8Array, mode = 0o600): void {
    this.writeFile(path, content, mode);
  }
  rename(from: string, to: string): void {
    this.calls.push(`rename ${from} ${to}`);
    this.#get("rename", from);
    for (const [path, file] of [...this.files]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.files.delete(path);
      this.files.set(to + path.slice(from.length), file);
    }
  }
  writeExisting(path: string, content: string): void {
    const file = this.#get("open", path);
    this.calls.push(`write ${path} ${content}`);
    file.content = utf8.encode(content);
    this.onWrite?.(path, content);
  }
  mkdir(path: string, mode: number): void {
    if (this.files.has(path)) this.#fail("mkdir", path, "EEXIST");
    if (this.files.get(parent(path))?.kind !== "folder") this.#fail("mkdir", path, "ENOENT");
    this.calls.push(`mkdir ${path} ${mode.toString(8)}`);
    this.files.set(path, { kind: "folder", content: new Uint8Array(), mode });
  }
  mkdirAll(path: string, mode: number): void {
    if (this.files.has(path)) return;
    this.mkdirAll(parent(path), mode);
    this.mkdir(path, mode);
  }
  rmdir(path: string): void {
    this.#get("rmdir", path);
    const names = this.list(path) ?? [];
    // A cgroup's own files go with it.
    if (names.some((name) => this.files.get(`${path}/${name}`)?.kind === "folder"))
      this.#fail("rmdir", path, "ENOTEMPTY");
    this.removeTree(path);
  }
  unlink(path: string): boolean {
    this.calls.push(`unlink ${path}`);
    return this.files.delete(path);
  }
  removeTree(path: string): void {
    this.calls.push(`remove ${path}`);
    for (const name of [...this.files.keys()])
      if (name === path || name.startsWith(`${path}/`)) this.files.delete(name);
  }
  list(path: string): string[] | undefined {
    if (this.files.get(path)?.kind !== "folder") return undefined;
    const prefix = path === "/" ? "/" : `${path}/`;
    return [...this.files.keys()]
      .filter((n) => n.startsWith(prefix) && n !== path && !n.slice(prefix.length).includes("/"))
      .map((n) => n.slice(prefix.length));
  }
  stat(path: string): FileInfo | undefined {
    const file = this.#find(path);
    if (file === undefined) return undefined;
    file.ino ??= this.#nextInode++;
    const { kind, mode, ino, dev = 1 } = file;
    return { kind, mode, uid: 0, gid: 0, size: file.content.length, dev, rdev: 0, ino };
  }
  lstat(path: string): FileInfo | undefined {
    return this.stat(path);
  }
  appendFile(path: string, content: string): void {
    this.put(path, `${this.readTextIfAny(path) ?? ""}${content}`);
  }
  writable(path: string): boolean {
    return this.stat(path) !== undefined;
  }
  executable(path: string): boolean {
    return ((this.stat(path)?.mode ?? 0) & 0o111) !== 0;
  }
  realpath(path: string): string {
    this.#get("realpath", path);
    return path;
  }
  readlink(path: string): string | undefined {
    const file = this.files.get(path);
    return file?.kind === "symlink" ? text.decode(file.content) : undefined;
  }
  symlink(target: string, path: string): void {
    if (this.files.has(path)) this.#fail("symlinkat", path, "EEXIST");
    this.calls.push(`symlink ${target} ${path}`);
    this.put(path, target, "symlink");
  }
  lchown(path: string, uid: number, gid: number): void {
    this.#get("fchownat", path);
    this.calls.push(`chown ${path} ${uid}:${gid}`);
  }
  async attachLoop(file: string, readonly: boolean): Promise<{ path: string; fd: number }> {
    const fd = this.open(file);
    this.calls.push(`loop ${file} ${readonly ? "ro" : "rw"}`);
    return { path: `/dev/loop${this.fds.size - 1}`, fd };
  }
  mount(_source: string, target: string, type: string): void {
    this.#get("mount", target);
    this.calls.push(`mount ${type} ${target}`);
    this.mounted.add(target);
  }
  async umount(target: string): Promise<void> {
    this.#get("umount2", target);
    if (!this.mounted.delete(target)) this.#fail("umount2", target, "EINVAL");
    this.calls.push(`umount ${target}`);
  }
  mkfifo(path: string, mode: number): void {
    this.calls.push(`mkfifo ${path} ${mode.toString(8)}`);
    this.files.set(path, { kind: "fifo", content: new Uint8Array(), mode });
  }

  open(path: string, flags = 0, mode = 0o600): number {
    if (flags & O_CREAT && !this.files.has(path)) this.writeFile(path, "", mode);
    return this.#addFd(path, path === "/dev/null" ? this.#find(path) : this.#get("open", path));
  }
  openInRoot(root: string, path: string): number {
    return this.open(root + path);
  }
  close(fd: number): void {
    this.fds.delete(fd);
  }
  /** The next bytes of a pipe or socket; none at the end. */
  async read(fd: number, _size: number): Promise<Uint8Array> {
    return this.readSync(fd, _size);
  }
  readSync(fd: number, _size: number): Uint8Array {
    return this.fds.get(fd)?.queue.shift() ?? new Uint8Array();
  }
  write(fd: number, bytes: Uint8Array): void {
    const open = this.fds.get(fd);
    if (open?.peer !== undefined) open.peer.queue.push(bytes);
    else if (open?.answer !== undefined) {
      const answer = open.answer(bytes);
      if (answer !== undefined) open.queue.push(answer);
    } else this.#output.set(fd, [...(this.#output.get(fd) ?? []), bytes]);
  }
  tryLock(fd: number): boolean {
    return !this.locked.has(this.fds.get(fd)!.path);
  }
  sealedFile(name: string, content: Uint8Array): number {
    return this.#addFd(`memfd:${name}`, { kind: "file", content, mode: 0o777 });
  }
  sealedCopy(name: string, path: string): number {
    return this.sealedFile(name, this.readFile(path));
  }
  socketPair(): [number, number] {
    return this.#addPair("socket pair");
  }
  connectUnix(path: string): number {
    this.#get("connect", path);
    const fd = this.#addFd(path, undefined);
    const answer = this.#answers.get(path);
    if (answer !== undefined) this.fds.get(fd)!.answer = answer;
    return fd;
  }
  async connectLines(path: string, events: LineEvents): Promise<LineChannel | undefined> {
    const accept = this.files.has(path) ? this.#acceptors.get(path) : undefined;
    if (accept === undefined) return undefined;
    const peer = new FakePeer(events);
    accept(peer);
    return peer.channel;
  }
  /** Far ends of the channels over descriptors, by path. */
  readonly lineWriters = new Map<string, FakePeer>();
  readLines(fd: number, events: LineEvents): LineChannel {
    const peer = new FakePeer(events);
    const path = this.fds.get(fd)?.path ?? "";
    this.lineWriters.set(path, peer);
    const { channel } = peer;
    return {
      get closed() {
        return channel.closed;
      },
      send: channel.send,
      close: () => {
        this.close(fd);
        channel.close();
      },
    };
  }
  /** Messages that {@link receive} hands out, in order; then the peer has closed. */
  readonly messages: { bytes: Uint8Array; descriptors: number[] }[] = [];
  async receive(): Promise<{ bytes: Uint8Array; descriptors: number[] }> {
    return this.messages.shift() ?? { bytes: new Uint8Array(), descriptors: [] };
  }
  sendDescriptor(fd: number, _: Uint8Array, descriptor: number): void {
    this.calls.push(`send descriptor ${descriptor} over ${fd}`);
  }
  chmod(path: string, mode: number): void {
    this.#get("chmod", path).mode = mode;
    this.calls.push(`chmod ${path} ${mode.toString(8)}`);
  }
  bindDatagram(path: string): number {
    this.put(path, "", "socket");
    this.calls.push(`bind ${path}`);
    return this.#addFd(path, undefined);
  }
  pipe(): [number, number] {
    return this.#addPair("pipe");
  }
  /** POLLIN if something can be read, else a timeout. */
  async poll(fd: number, events: number, _timeoutMs: number): Promise<number> {
    return events & POLLIN && (this.fds.get(fd)?.queue.length ?? 0) > 0 ? POLLIN : 0;
  }

  spawn(options: SpawnOptions): number {
    this.spawned.push(options);
    this.calls.push(`spawn ${options.path}`);
    const pid = 1000 + this.spawned.length;
    this.onSpawn?.(options, pid);
    return pid;
  }
  async run(options: RunOptions): Promise<RunResult> {
    this.ran.push(options);
    const program = this.programs.get(options.path) ?? this.#fail("spawn", options.path, "ENOENT");
    const none = new Uint8Array();
    return { code: 0, signal: undefined, stdout: none, stderr: none, truncated: false, ...program(options) };
  }
  reap(pid: number): number | undefined {
    return this.running.has(pid) ? undefined : (this.exitCodes.get(pid) ?? 0);
  }
  kill(pid: number, signal: number): boolean {
    const signals = this.processes.get(pid);
    if (signals === undefined) return false;
    this.calls.push(`kill ${pid} ${signal}`);
    signals.push(signal);
    return true;
  }
  pidfdOpen(pid: number): number | undefined {
    return this.processes.has(pid) ? this.#addFd(`pidfd:${pid}`, undefined) : undefined;
  }
  pidfdSignal(pidfd: number, signal: number): boolean {
    return this.kill(Number(this.fds.get(pidfd)!.path.slice("pidfd:".length)), signal);
  }
  becomeSubreaper(on = true): void {
    this.calls.push(on ? "subreaper" : "no subreaper");
  }
  makeRaw(): Uint8Array | undefined {
    return undefined;
  }
  restoreTerminal(): void {}
  copyTerminalSize(): void {}

  netlinkDump(): Uint8Array[] {
    return [];
  }
  libraryFolder(): string {
    return "/lib/berth";
  }
  programPath(): string {
    return "/usr/bin/berth";
  }
  processors(): number {
    return 2;
  }
  kernelRelease(): string {
    return "6.1.0";
  }
  arch(): string {
    return "x64";
  }
  pid(): number {
    return 42;
  }
  uid(): number {
    return 0;
  }
  gid(): number {
    return 0;
  }
  cwd(): string {
    return this.#cwd;
  }
  chdir(path: string): void {
    this.#cwd = path;
  }
  env(name: string): string | undefined {
    return this.variables[name];
  }
  environment(): Record<string, string> {
    return { ...this.variables };
  }
  onSignal(signal: string, listener: () => void): void {
    this.signalListeners.set(signal, listener);
  }
  onUncaught(): void {}
  /** Only notes the code: the test goes on. */
  exit(code: number): void {
    this.exited ??= code;
  }
  monotonicMs(): number {
    return this.#now;
  }
  async sleep(ms: number): Promise<void> {
    this.#now += ms;
  }
}

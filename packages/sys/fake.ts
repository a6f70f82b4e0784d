/**
 * A machine in memory that records what was asked of it: code behind {@link Sys} is tested without root, and a test
 * can see every call. Files and folders work; processes are what the test says they are.
 */
import { BerthError, codeOfErrno } from "@berth/base";
import type { FileInfo, FileKind, SpawnOptions, Sys } from "./sys.ts";

interface FakeFile {
  kind: FileKind;
  content: Uint8Array;
  mode: number;
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
  readonly files = new Map<string, FakeFile>([
    ["/", { kind: "folder", content: new Uint8Array(), mode: 0o755 }],
  ]);
  /** Signals by pid; a pid that is not listed does not exist. */
  readonly processes = new Map<number, number[]>();
  readonly spawned: SpawnOptions[] = [];
  /** Runs before every write into an existing file, so that a test can act as the kernel does. */
  onWrite: ((path: string, content: string) => void) | undefined;
  #now = 0;

  /** Puts a file there, with its folders. */
  put(path: string, content: string, kind: FileKind = "file"): this {
    this.mkdirAll(parent(path), 0o755);
    this.files.set(path, { kind, content: utf8.encode(content), mode: 0o644 });
    return this;
  }

  #fail(call: string, path: string, errno: string): never {
    throw new BerthError(codeOfErrno(errno), `${call} ${path}: ${errno}`, { syscall: call, errno, path });
  }
  #get(call: string, path: string): FakeFile {
    return this.files.get(path) ?? this.#fail(call, path, "ENOENT");
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
    const file = this.files.get(path);
    return file === undefined
      ? undefined
      : {
          kind: file.kind,
          mode: file.mode,
          uid: 0,
          gid: 0,
          size: file.content.length,
          dev: 1,
          rdev: 0,
          ino: 1,
        };
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
  realpath(path: string): string {
    this.#get("realpath", path);
    return path;
  }
  readlink(path: string): string | undefined {
    const file = this.files.get(path);
    return file?.kind === "symlink" ? text.decode(file.content) : undefined;
  }
  mkfifo(path: string, mode: number): void {
    this.calls.push(`mkfifo ${path} ${mode.toString(8)}`);
    this.files.set(path, { kind: "fifo", content: new Uint8Array(), mode });
  }

  open(path: string): number {
    this.#get("open", path);
    return 100;
  }
  openInRoot(root: string, path: string): number {
    return this.open(root + path);
  }
  close(): void {}
  async read(): Promise<Uint8Array> {
    return new Uint8Array();
  }
  readSync(): Uint8Array {
    return new Uint8Array();
  }
  write(): void {}
  sealedFile(): number {
    return 128;
  }
  sealedCopy(_name: string, path: string): number {
    this.readFile(path);
    return this.sealedFile();
  }
  socketPair(): [number, number] {
    return [101, 102];
  }
  connectUnix(path: string): number {
    this.#get("connect", path);
    return 103;
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
    return 104;
  }
  pipe(): [number, number] {
    return [105, 106];
  }
  async poll(): Promise<number> {
    return 0;
  }

  spawn(options: SpawnOptions): number {
    this.spawned.push(options);
    this.calls.push(`spawn ${options.path}`);
    return 1000 + this.spawned.length;
  }
  reap(): number | undefined {
    return 0;
  }
  kill(pid: number, signal: number): boolean {
    const signals = this.processes.get(pid);
    if (signals === undefined) return false;
    this.calls.push(`kill ${pid} ${signal}`);
    signals.push(signal);
    return true;
  }
  pidfdOpen(pid: number): number | undefined {
    return this.processes.has(pid) ? pid : undefined;
  }
  pidfdSignal(pidfd: number, signal: number): boolean {
    return this.kill(pidfd, signal);
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
    return "/";
  }
  env(): string | undefined {
    return undefined;
  }
  monotonicMs(): number {
    return this.#now;
  }
  async sleep(ms: number): Promise<void> {
    this.#now += ms;
  }
}

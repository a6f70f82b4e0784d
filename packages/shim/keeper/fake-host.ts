/**
 * A host for tests of the shim: {@link FakeSys} with cgroup version 2, where berth-init succeeds or fails as the test says.
 * Containers run the keeper's protocol, and end by {@link FakeHost.end} or by SIGKILL.
 */
import { SIGKILL } from "@berth/base";
import { type FakeFile, type FakePeer, FakeSys, type SpawnOptions } from "@berth/sys";

const CGROUPS = "/sys/fs/cgroup";
const [POLLIN, POLLERR] = [1, 8];
const [PID, FAILED, READY] = [1, 2, 5];
const NAMESPACES = ["ipc", "net", "pid", "uts"];
/** Device of the file system of namespaces. */
const NSFS = 4;

/** A container's process, or one added to it, and its keeper. */
export interface FakeProcess {
  /** The container's id. */
  id: string;
  /** Names the keeper's files. */
  token: string;
  pid: number;
  initPid: number;
  /** Connections to the keeper. */
  readonly peers: FakePeer[];
  /** Answers commands; default: "OK". */
  answer: (command: string) => string;
}

/** A record as berth-init sends it: see native/init/report.h. */
function record(kind: number, a: number, b = 0): Uint8Array {
  const out = new Uint8Array(24);
  const view = new DataView(out.buffer);
  view.setUint32(0, kind, true);
  view.setInt32(8, a, true);
  view.setInt32(12, b, true);
  return out;
}

/** See the module comment. */
export class FakeHost extends FakeSys {
  /** Processes by pid, until they end. */
  readonly alive = new Map<number, FakeProcess>();
  /** All launches, in order. */
  readonly launched: FakeProcess[] = [];
  /** errnos of the next launches; 0 for success. */
  readonly failures: number[] = [];
  /** Called when a launch begins, before it reports anything. */
  onLaunch: (() => void) | undefined;
  /** Signals that end a process. */
  readonly deadly = new Set([SIGKILL]);
  readonly #keepers: string;

  /** `stateDir`: the shim's. */
  constructor(stateDir = "/run/berth") {
    super();
    this.#keepers = `${stateDir}/keepers`;
    for (const name of NAMESPACES)
      for (const pid of ["1", "self"]) this.files.set(`/proc/${pid}/ns/${name}`, this.#namespace(name));
    this.put("/proc/self/mountinfo", `30 23 0:26 / ${CGROUPS} rw - cgroup2 cgroup rw\n`);
    this.put("/proc/sys/kernel/random/boot_id", "boot-1\n");
    this.put("/lib/berth/berth-init", "ELF", "file", 0o755);
    this.put(`${CGROUPS}/cgroup.controllers`, "memory pids\n");
    this.put(`${CGROUPS}/cgroup.subtree_control`, "memory pids\n");
    this.onSpawn = (options, pid) => this.#spawned(options, pid);
    this.onWrite = (path, content) => this.#written(path, content);
  }

  readonly #hosts = new Map<string, FakeFile>();

  /** The host's own namespace. */
  #namespace(name: string): FakeFile {
    const known = this.#hosts.get(name) ?? {
      kind: "file",
      content: new Uint8Array(),
      mode: 0o444,
      dev: NSFS,
    };
    this.#hosts.set(name, known);
    return known;
  }

  /** Creates the file of a namespace other than the host's. */
  putNamespace(path: string): this {
    this.put(path, "");
    this.files.get(path)!.dev = NSFS;
    return this;
  }

  /** The latest launch. */
  get last(): FakeProcess {
    return this.launched.at(-1)!;
  }

  cgroup(id: string): string {
    return `${CGROUPS}/${id}`;
  }

  #spawned({ argv, fds }: SpawnOptions, initPid: number): void {
    const [program, id = "", tag = ""] = argv;
    if (program !== "berth-init") return;
    this.onLaunch?.();
    const report = fds[4]!;
    const errno = this.failures.shift() ?? 0;
    if (errno !== 0) {
      // In no section: cloning the process failed.
      this.write(report, record(FAILED, 0xffff, errno));
      return;
    }
    const process: FakeProcess = {
      id,
      token: tag.replace(/\.exit$/, ""),
      pid: 5000 + this.launched.length,
      initPid,
      peers: [],
      answer: () => "OK",
    };
    this.launched.push(process);
    this.#begin(process);
    this.write(report, record(PID, process.pid));
    this.write(report, record(READY, 0));
  }

  #begin(process: FakeProcess): void {
    const { id, token, pid, initPid } = process;
    this.alive.set(pid, process);
    this.processes.set(pid, []);
    this.running.add(initPid);
    this.put(`/proc/${pid}/stat`, `${pid} (sh) S ${initPid}${" 0".repeat(17)} ${pid * 10}`);
    this.put(`/proc/${pid}/cmdline`, "berth-init\0");
    for (const name of NAMESPACES) this.putNamespace(`/proc/${pid}/ns/${name}`);
    this.put(`/proc/${initPid}/cmdline`, `berth-init\0${id}\0${token}.exit\0`);
    const folder = this.cgroup(id);
    if (!this.files.has(folder)) {
      for (const name of ["cgroup.kill", "cgroup.procs"]) this.put(`${folder}/${name}`, "");
      this.put(`${folder}/cgroup.freeze`, "0\n");
      this.put(`${folder}/cgroup.events`, "populated 1\nfrozen 0\n");
    }
    this.#writeMembers(id);
    if (token !== "")
      this.listen(`${this.#keepers}/${token}.sock`, (peer) => {
        process.peers.push(peer);
        peer.onLine = (line) => peer.send(process.answer(line));
        peer.send(`PID ${pid}`);
      });
  }

  #writeMembers(id: string): void {
    const path = `${this.cgroup(id)}/cgroup.procs`;
    const pids = [...this.alive.values()].filter((p) => p.id === id).map((p) => `${p.pid}\n`);
    if (this.files.has(path)) this.put(path, pids.join(""));
  }

  /** The kernel's part: killing and freezing a cgroup. */
  #written(path: string, content: string): void {
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (path.endsWith("/cgroup.kill"))
      for (const { id, pid } of [...this.alive.values()])
        if (this.cgroup(id) === folder) this.kill(pid, SIGKILL);
    if (path.endsWith("/cgroup.freeze"))
      this.put(`${folder}/cgroup.events`, `populated 1\nfrozen ${content.trim()}\n`);
  }

  #remove(process: FakeProcess): void {
    const { pid, initPid, id } = process;
    this.alive.delete(pid);
    this.processes.delete(pid);
    this.running.delete(initPid);
    for (const path of [`/proc/${pid}`, `/proc/${initPid}`]) this.removeTree(path);
    this.#writeMembers(id);
  }

  /** The process exits; its keeper records and reports that. */
  end(process: FakeProcess, status: number, at: bigint, ooms = 0): void {
    this.#remove(process);
    const exit = `${status} ${at} ${ooms}`;
    this.put(`${this.#keepers}/${process.token}.exit`, `${exit}\n`);
    this.stopListening(`${this.#keepers}/${process.token}.sock`);
    for (const peer of process.peers) peer.send(`EXIT ${exit}`).close();
  }

  /** The keeper is killed: its connections close, and the process goes on. */
  loseKeeper(process: FakeProcess): void {
    this.running.delete(process.initPid);
    this.removeTree(`/proc/${process.initPid}`);
    this.stopListening(`${this.#keepers}/${process.token}.sock`);
    const { peers } = process;
    process.token = "";
    for (const peer of peers) peer.close();
  }

  override kill(pid: number, signal: number): boolean {
    const process = this.alive.get(pid);
    const found = super.kill(pid, signal);
    if (process !== undefined && this.deadly.has(signal)) {
      if (process.token === "") this.#remove(process);
      else this.end(process, 128 + signal, 99n);
    }
    return found;
  }

  /** Exec closes a container's FIFO; a pidfd is readable once its process has ended. */
  override async poll(fd: number, events: number, timeoutMs: number): Promise<number> {
    const path = this.fds.get(fd)?.path ?? "";
    if (path.endsWith("/exec.fifo")) {
      for (const { pid } of this.alive.values()) this.put(`/proc/${pid}/cmdline`, "sh\0");
      return POLLERR;
    }
    const pid = /^pidfd:(\d+)$/.exec(path)?.[1];
    if (pid !== undefined) return this.processes.has(Number(pid)) ? 0 : POLLIN;
    return super.poll(fd, events, timeoutMs);
  }
}

/** A minimal config.json. */
export function config(more: object = {}): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify({
      ociVersion: "1.2.0",
      process: { user: { uid: 0, gid: 0 }, cwd: "/", args: ["sh"] },
      root: { path: "rootfs" },
      linux: { namespaces: [{ type: "pid" }, { type: "mount" }] },
      ...more,
    }),
  );
}

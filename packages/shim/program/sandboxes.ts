/**
 * Sandboxes (pods). A pause process, berth-init without an image or root file system, holds the namespaces of a pod; its
 * containers join them by path (`/proc/PID/ns/...`).
 */
import { BerthError, SIGKILL, SIGTERM, systemClock } from "@berth/base";
import * as runtime from "@berth/runtime";
import { linux, type Sys } from "@berth/sys";
import type { Exit } from "../contract/task-shim.ts";

const [MS_NOSUID, MS_NODEV, MS_NOEXEC] = [2, 4, 8];
/** /dev/shm as in Kubernetes. */
const SHM_OPTIONS = "mode=1777,size=65536k";
/** How long a pause process may take to exit after SIGTERM. */
const STOP_MS = 5000;
/** How often pause processes are checked. */
const WATCH_MS = 1000;
/** Record in the bundle of a sandbox, for `delete`. */
export const SANDBOX_FILE = "berth-sandbox.json";

/** Record of a running sandbox. */
export interface SandboxRecord {
  pid: number;
  startTime: number;
  shm: string;
}

/** Request for a sandbox. */
export interface SandboxRequest {
  id: string;
  bundle: string;
  /** File of the network namespace; "" for the host network. */
  netnsPath: string;
  hostname: string;
}

/** A sandbox: created -> ready -> stopped. */
export interface Sandbox extends SandboxRequest {
  /** Descriptor that keeps the network namespace alive. */
  netns: number | undefined;
  /** Is `netnsPath` a network namespace? */
  hasNetwork: boolean;
  pid: number;
  createdAt: bigint;
  exit: Exit | undefined;
  /** Mount point of the shared /dev/shm. */
  shm: string;
  /** Ids of containers in it, perhaps gone by now. */
  readonly members: Set<string>;
}

/** See the module comment. */
export class Sandboxes {
  readonly #sys: Sys;
  readonly #runtime: runtime.Runtime;
  readonly #folder: string;
  readonly #known = new Map<string, { sandbox: Sandbox; ended: PromiseWithResolvers<Exit> }>();
  #watch: NodeJS.Timeout | undefined;

  /** `folder`: the state folder. */
  constructor(sys: Sys, folder: string) {
    this.#sys = sys;
    this.#folder = `${folder}/sandboxes`;
    this.#runtime = runtime.openRuntime(sys, `${folder}/runc`);
  }

  get(id: string): Sandbox {
    return this.#entry(id).sandbox;
  }

  has(id: string): boolean {
    return this.#known.has(id);
  }

  get size(): number {
    return this.#known.size;
  }

  /** The sandbox, if there is exactly one. */
  get only(): Sandbox | undefined {
    return this.#known.size === 1 ? [...this.#known.values()][0]!.sandbox : undefined;
  }

  #entry(id: string) {
    const found = this.#known.get(id);
    if (found === undefined)
      throw new BerthError("not_found", `sandbox ${id} not found`, { stage: "sandbox" });
    return found;
  }

  create(request: SandboxRequest): void {
    const { id, netnsPath } = request;
    if (this.#known.has(id))
      throw new BerthError("already_exists", `sandbox ${id}: already exists`, { stage: "sandbox" });
    const netns = netnsPath === "" ? undefined : this.#sys.open(netnsPath, linux.O_RDONLY);
    const sandbox: Sandbox = {
      ...request,
      netns,
      hasNetwork: netnsPath !== "" && isNamespace(this.#sys, netnsPath),
      pid: 0,
      createdAt: systemClock.wall(),
      exit: undefined,
      shm: `${this.#folder}/${id}`,
      members: new Set(),
    };
    this.#known.set(id, { sandbox, ended: Promise.withResolvers() });
  }

  async start(id: string): Promise<Sandbox> {
    if (!this.#known.has(id))
      throw new BerthError("failed_precondition", `sandbox ${id} must be created before it is started`, {
        stage: "sandbox",
      });
    const { sandbox } = this.#entry(id);
    if (sandbox.pid !== 0)
      throw new BerthError("failed_precondition", `sandbox ${id} was started before`, { stage: "sandbox" });
    const sys = this.#sys;
    sys.mkdirAll(sandbox.shm, 0o711);
    sys.mount("shm", sandbox.shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, SHM_OPTIONS);
    try {
      const { pid } = await runtime.startSandbox(this.#runtime, {
        name: id,
        namespaces: ["ipc", "uts", "pid"],
        ...(sandbox.hostname === "" ? {} : { hostname: sandbox.hostname }),
        ...(sandbox.hasNetwork ? { networkPath: sandbox.netnsPath } : {}),
      });
      sandbox.pid = pid;
      const record: SandboxRecord = {
        pid,
        startTime: runtime.processStat(sys, pid)?.startTime ?? 0,
        shm: sandbox.shm,
      };
      sys.replaceFile(`${sandbox.bundle}/${SANDBOX_FILE}`, JSON.stringify(record));
    } catch (error) {
      if (sandbox.pid !== 0) sys.kill(sandbox.pid, SIGKILL);
      sandbox.pid = 0;
      await removeShm(sys, sandbox.shm);
      throw error;
    }
    // Nothing reports its exit, which is rare.
    this.#watch ??= setInterval(() => this.#look(), WATCH_MS).unref();
    return sandbox;
  }

  #look(): void {
    for (const { sandbox, ended } of this.#known.values()) {
      if (sandbox.pid === 0 || sandbox.exit !== undefined || isAlive(this.#sys, sandbox.pid)) continue;
      const code = this.#sys.reap(sandbox.pid);
      sandbox.exit = { exitStatus: code ?? 128 + SIGKILL, exitedAt: systemClock.wall() };
      ended.resolve(sandbox.exit);
    }
  }

  isReady(id: string): boolean {
    const { sandbox } = this.#entry(id);
    if (sandbox.exit === undefined) this.#look();
    return sandbox.pid !== 0 && sandbox.exit === undefined;
  }

  /** SIGTERM, and SIGKILL after the timeout; no error if it has ended. */
  async stop(id: string, timeoutMs = STOP_MS): Promise<void> {
    const { sandbox, ended } = this.#entry(id);
    const sys = this.#sys;
    if (sandbox.pid === 0 && sandbox.exit === undefined) {
      sandbox.exit = { exitStatus: 0, exitedAt: systemClock.wall() };
      ended.resolve(sandbox.exit);
    }
    const until = sys.monotonicMs() + timeoutMs;
    for (let signal = SIGTERM; sandbox.exit === undefined; ) {
      sys.kill(sandbox.pid, signal);
      await sys.sleep(5);
      this.#look();
      if (sys.monotonicMs() > until) signal = SIGKILL;
    }
    sys.unlink(`${sandbox.bundle}/${SANDBOX_FILE}`);
    await removeShm(sys, sandbox.shm);
    if (sandbox.netns !== undefined) sys.close(sandbox.netns);
    sandbox.netns = undefined;
  }

  async wait(id: string, signal: AbortSignal): Promise<Exit> {
    const { promise } = this.#entry(id).ended;
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      void promise.then((exit) => {
        signal.removeEventListener("abort", abort);
        resolve(exit);
      });
    });
  }

  async remove(id: string): Promise<void> {
    await this.stop(id);
    this.#known.delete(id);
    if (this.#known.size === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
  }
}

/** False for a zombie. */
function isAlive(sys: Sys, pid: number): boolean {
  const state = runtime.processStat(sys, pid)?.state;
  return state !== undefined && state !== "Z" && state !== "X";
}

function isNamespace(sys: Sys, path: string): boolean {
  return sys.stat(path)?.dev === sys.stat("/proc/self/ns/net")?.dev;
}

/** Unmounts and removes a sandbox's /dev/shm. */
export async function removeShm(sys: Sys, shm: string): Promise<void> {
  try {
    await sys.umount(shm, linux.MNT_DETACH);
  } catch (error) {
    // Not mounted, or removed already.
    const { errno } = error as BerthError;
    if (errno !== "EINVAL" && errno !== "ENOENT") throw error;
  }
  sys.removeTree(shm);
}

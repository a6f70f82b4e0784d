/** A shim without processes, for tests: the rules of the Task service, without a kernel. */
import { anyOf } from "@berth/api";
import { BerthError } from "@berth/base";
import type {
  CreateTask,
  ExecTask,
  Exit,
  ProcessRef,
  TaskEvent,
  TaskShim,
  TaskState,
  TaskStatus,
} from "@berth/shim";
import type { Any } from "@bufbuild/protobuf/wkt";
import { now } from "../../base/core/time.ts";

interface Fake {
  state: TaskState;
  ended: Promise<Exit>;
  end: (exit: Exit) => void;
}

/** Keeps tasks in memory; {@link exit} ends one. */
export class FakeShim implements TaskShim {
  readonly #tasks = new Map<string, Fake>();
  readonly #listeners = new Set<(event: TaskEvent) => void>();
  #lastPid = 1000;

  async recover(): Promise<void> {}

  #key(ref: ProcessRef): string {
    return `${ref.namespace}/${ref.id}/${ref.execId ?? ""}`;
  }

  #get(ref: ProcessRef): Fake {
    const found = this.#tasks.get(this.#key(ref));
    if (found === undefined) throw new BerthError("not_found", `process ${this.#key(ref)}: not found`);
    return found;
  }

  #emit(event: TaskEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #add(request: CreateTask | ExecTask): Fake {
    const key = this.#key(request);
    if (this.#tasks.has(key)) throw new BerthError("already_exists", `process ${key}: already exists`);
    let end: Fake["end"] = () => {};
    const ended = new Promise<Exit>((resolve) => {
      end = resolve;
    });
    const { namespace, id, stdio } = request;
    const fake: Fake = {
      ended,
      end,
      state: {
        namespace,
        id,
        execId: request.execId ?? "",
        pid: ++this.#lastPid,
        status: "created",
        bundle: `/fake/${id}`,
        stdio,
        exitStatus: 0,
        exitedAt: 0n,
      },
    };
    this.#tasks.set(key, fake);
    return fake;
  }

  async create(request: CreateTask): Promise<{ pid: number }> {
    const { namespace, id, stdio, rootfs } = request;
    const { pid, bundle } = this.#add(request).state;
    this.#emit({ topic: "/tasks/create", namespace, id, pid, bundle, stdio, rootfs });
    return { pid };
  }

  async start(ref: ProcessRef): Promise<{ pid: number }> {
    const { state } = this.#get(ref);
    state.status = "running";
    const { namespace, id, execId, pid } = state;
    if (execId === "") this.#emit({ topic: "/tasks/start", namespace, id, pid });
    else this.#emit({ topic: "/tasks/exec-started", namespace, id, execId, pid });
    return { pid };
  }

  /** Ends a process as if it had exited. */
  exit(ref: ProcessRef, exitStatus: number): void {
    const fake = this.#get(ref);
    const exit = { exitStatus, exitedAt: now() };
    fake.state = { ...fake.state, ...exit, status: "stopped" };
    fake.end(exit);
    const { namespace, id, execId, pid } = fake.state;
    this.#emit({ topic: "/tasks/exit", namespace, id, execId, pid, ...exit });
  }

  async delete(ref: ProcessRef): Promise<Exit & { pid: number }> {
    const { state } = this.#get(ref);
    if (state.status !== "stopped" && state.status !== "created")
      throw new BerthError(
        "failed_precondition",
        `process ${this.#key(ref)} is ${state.status}: failed precondition`,
      );
    this.#tasks.delete(this.#key(ref));
    const { namespace, id, execId, pid, exitStatus, exitedAt } = state;
    this.#emit({ topic: "/tasks/delete", namespace, id, execId, pid, exitStatus, exitedAt });
    return { pid, exitStatus, exitedAt };
  }

  async exec(request: ExecTask): Promise<void> {
    this.#get({ namespace: request.namespace, id: request.id });
    this.#add(request);
    const { namespace, id, execId } = request;
    this.#emit({ topic: "/tasks/exec-added", namespace, id, execId });
  }

  state(ref: ProcessRef): TaskState {
    return this.#get(ref).state;
  }

  list(namespace?: string): TaskState[] {
    return [...this.#tasks.values()]
      .map((t) => t.state)
      .filter((s) => (namespace === undefined || s.namespace === namespace) && s.execId === "");
  }

  async kill(ref: ProcessRef, signal: number): Promise<void> {
    if (this.#get(ref).state.status === "stopped")
      throw new BerthError("not_found", "process already finished: not found", { errno: "ESRCH" });
    this.exit(ref, 128 + signal);
  }

  #set(ref: ProcessRef, status: TaskStatus, topic: "/tasks/paused" | "/tasks/resumed"): void {
    this.#get(ref).state.status = status;
    this.#emit({ topic, namespace: ref.namespace, id: ref.id });
  }
  async pause(ref: ProcessRef): Promise<void> {
    this.#set(ref, "paused", "/tasks/paused");
  }
  async resume(ref: ProcessRef): Promise<void> {
    this.#set(ref, "running", "/tasks/resumed");
  }
  async checkpoint(ref: ProcessRef): Promise<void> {
    this.#get(ref);
  }
  async resizePty(ref: ProcessRef): Promise<void> {
    this.#get(ref);
  }
  async closeIO(ref: ProcessRef): Promise<void> {
    this.#get(ref);
  }
  async pids(ref: ProcessRef): Promise<{ pid: number; execId?: string }[]> {
    return [{ pid: this.#get(ref).state.pid }];
  }

  async wait(ref: ProcessRef, signal?: AbortSignal): Promise<Exit> {
    const { ended } = this.#get(ref);
    if (signal === undefined) return ended;
    return Promise.race([
      ended,
      new Promise<never>((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
      ),
    ]);
  }

  async update(ref: ProcessRef): Promise<void> {
    this.#get(ref);
  }
  async stats(ref: ProcessRef): Promise<Any> {
    this.#get(ref);
    return anyOf("io.containerd.cgroups.v2.Metrics", new Uint8Array());
  }
  observe(): boolean {
    return false;
  }
  onEvent(listener: (event: TaskEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  async close(): Promise<void> {}
}

/**
 * Sandboxes of shims that have containerd's Sandbox service: each is a shim's program, started for it. Their state is
 * the shim's; kept here is how to reach it, and how a sandbox ended.
 */

import type * as api from "@berth/api/sandbox";
import { Sandbox } from "@berth/api/sandbox";
import { BerthError, isCode, log, systemClock } from "@berth/base";
import type { CallOptions, Client } from "@berth/rpc";
import type { Sys } from "@berth/sys";
import { type Connection, connect } from "@berth/ttrpc";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Exit, RootfsMount, SandboxShim } from "../contract/task-shim.ts";
import { deleteShim, findShim, type ShimAddress, type ShimCall, startShim } from "./binary.ts";
import { ForeignBundles } from "./bundle.ts";
import { followLog } from "./log.ts";
import type { ForeignOptions } from "./shim.ts";
import { exitOf, taskService } from "./task.ts";

const DIAL_MS = 10_000;
const SHUTDOWN_MS = 10_000;

/** Content of a sandbox's shim.json. */
interface SandboxRecord {
  runtime: string;
  program: string;
  /** Set once the shim has been started. */
  shim?: ShimAddress;
  /** It was created; without it, a crash came in between. */
  created: boolean;
  started: boolean;
}

/** A sandbox to create. */
export interface CreateSandbox {
  namespace: string;
  id: string;
  /** Name of the runtime, or the path of its shim. */
  runtime: string;
  /** For the bundle's config.json; default: an empty object. */
  spec?: Uint8Array;
  rootfs: readonly RootfsMount[];
  /** The caller's data for the shim. */
  options?: Any;
  netnsPath: string;
  annotations: Readonly<Record<string, string>>;
}

/** A sandbox's name. */
export interface SandboxRef {
  namespace: string;
  id: string;
}

interface Live {
  readonly call: ShimCall;
  readonly record: SandboxRecord;
  connection: Connection | undefined;
  /** It is being shut down, so the shim is expected to exit. */
  leaving: boolean;
  watching: boolean;
  exit: Exit | undefined;
  readonly ended: PromiseWithResolvers<Exit>;
  closeLog(): void;
}

/** How a sandbox ended. */
export type SandboxExit = SandboxRef & Exit;

/** See the module comment. */
export class ForeignSandboxes {
  readonly #sys: Sys;
  readonly #options: ForeignOptions;
  readonly #bundles: ForeignBundles<SandboxRecord>;
  readonly #live = new Map<string, Live>();
  readonly #onExit: (exit: SandboxExit) => void;

  /** `onExit` is called once for each sandbox that was started, when it ends. */
  constructor(options: ForeignOptions, onExit: (exit: SandboxExit) => void) {
    this.#sys = options.sys;
    this.#options = options;
    this.#bundles = new ForeignBundles(options.sys, options.stateDir, "sandboxes");
    this.#onExit = onExit;
  }

  /** The shim of a sandbox, for tasks in it; undefined if there is no such sandbox, or it has ended. */
  shimOf(ref: SandboxRef): SandboxShim | undefined {
    const live = this.#live.get(keyOf(ref));
    if (live?.connection === undefined || live.exit !== undefined) return undefined;
    return { id: ref.id, program: live.record.program, ...live.record.shim! };
  }

  /** Starts a shim and creates a sandbox in it; "already_exists" if there is one of that name. */
  async create(request: CreateSandbox, options: CallOptions = {}): Promise<void> {
    const { namespace, id, runtime, spec = new TextEncoder().encode("{}") } = request;
    const program = findShim(this.#sys, runtime);
    const record: SandboxRecord = { runtime, program, created: false, started: false };
    this.#bundles.make(namespace, id, spec, record);
    const live = this.#add({ namespace, id }, record);
    try {
      await this.#connect(live, await startShim(this.#sys, live.call));
      this.#save(live);
      const { rootfs, netnsPath, annotations } = request;
      await this.#client(live).createSandbox(
        {
          sandboxId: id,
          bundlePath: live.call.bundle,
          rootfs: rootfs.map((m) => ({ ...m, target: m.target ?? "", options: [...m.options] })),
          netnsPath,
          annotations: { ...annotations },
          ...(request.options === undefined ? {} : { options: request.options }),
        },
        options,
      );
      record.created = true;
      this.#save(live);
    } catch (error) {
      await this.#discard(live);
      throw error;
    }
  }

  /** Starts a sandbox; one that cannot be started is removed, as in containerd. */
  async start(ref: SandboxRef, options: CallOptions = {}): Promise<api.StartSandboxResponse & ShimAddress> {
    const live = this.#get(ref);
    let answer: api.StartSandboxResponse;
    try {
      answer = await this.#client(live).startSandbox({ sandboxId: ref.id }, options);
    } catch (error) {
      // One that runs is not removed because somebody starts it again.
      if (!live.record.started) await this.#discard(live);
      throw error;
    }
    live.record.started = true;
    this.#save(live);
    this.#watch(live);
    return { ...answer, ...live.record.shim! };
  }

  async platform(ref: SandboxRef, options: CallOptions = {}): Promise<api.PlatformResponse> {
    return this.#client(this.#get(ref)).platform({ sandboxId: ref.id }, options);
  }

  /** Ends a sandbox; no error if it has ended or does not exist. */
  async stop(ref: SandboxRef, timeoutSecs: number, options: CallOptions = {}): Promise<void> {
    const live = this.#live.get(keyOf(ref));
    if (live?.connection === undefined) return;
    try {
      await this.#client(live).stopSandbox({ sandboxId: ref.id, timeoutSecs }, options);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** Resolves when a sandbox has ended, with its exit. */
  async wait(ref: SandboxRef, signal: AbortSignal): Promise<Exit> {
    const live = this.#get(ref);
    this.#watch(live);
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      void live.ended.promise.then((exit) => {
        signal.removeEventListener("abort", abort);
        resolve(exit);
      });
    });
  }

  /** What the shim says; undefined if there is no such sandbox, or its shim is lost. */
  async status(
    ref: SandboxRef,
    verbose: boolean,
    options: CallOptions = {},
  ): Promise<(api.SandboxStatusResponse & ShimAddress) | undefined> {
    const live = this.#live.get(keyOf(ref));
    if (live?.connection === undefined) return undefined;
    const answer = await this.#client(live).sandboxStatus({ sandboxId: ref.id, verbose }, options);
    return { ...answer, ...live.record.shim! };
  }

  async metrics(ref: SandboxRef, options: CallOptions = {}): Promise<api.SandboxMetricsResponse> {
    return this.#client(this.#get(ref)).sandboxMetrics({ sandboxId: ref.id }, options);
  }

  /** Throws "not_found" if there is no such sandbox. */
  check(ref: SandboxRef): void {
    this.#get(ref);
  }

  /** Removes a sandbox in any state, and ends its shim. */
  async shutdown(ref: SandboxRef, options: CallOptions = {}): Promise<void> {
    const live = this.#get(ref);
    live.leaving = true;
    try {
      if (live.connection !== undefined)
        await this.#client(live).shutdownSandbox({ sandboxId: ref.id }, options);
    } catch (error) {
      // Most end before they answer.
      if (!isGone(error)) {
        live.leaving = false;
        throw error;
      }
    }
    this.#end(live, { exitStatus: 0, exitedAt: systemClock.wall() });
    await this.#forget(live);
  }

  /** Takes over the sandboxes of an earlier daemon; call it once, first. */
  async recover(): Promise<void> {
    await Promise.all(
      this.#bundles.list().map((ref) =>
        this.#recover(ref).catch((error: unknown) => {
          log.error(`sandbox ${ref.id} could not be taken over: ${BerthError.from(error).message}`);
        }),
      ),
    );
  }

  async #recover(ref: SandboxRef): Promise<void> {
    const bundle = this.#bundles.path(ref.namespace, ref.id);
    const record = this.#bundles.read(bundle);
    if (record === undefined) return this.#bundles.remove(bundle);
    const live = this.#add(ref, record);
    try {
      if (record.shim === undefined) throw new BerthError("not_found", "the shim was not started");
      await this.#connect(live, record.shim);
    } catch {
      await this.#lost(live);
      return this.#forget(live);
    }
    if (!record.created) {
      log.info("undoing an unfinished create", { namespace: ref.namespace, sandbox: ref.id });
      return this.#discard(live);
    }
    if (record.started) this.#watch(live);
  }

  /** Closes connections; sandboxes keep running. */
  close(): void {
    for (const live of this.#live.values()) {
      live.leaving = true;
      this.#disconnect(live);
    }
  }

  #get(ref: SandboxRef): Live {
    const live = this.#live.get(keyOf(ref));
    if (live === undefined)
      throw new BerthError("not_found", `sandbox ${JSON.stringify(ref.id)}: not found`, { stage: "sandbox" });
    return live;
  }

  #client({ connection, call }: Live): Client<typeof Sandbox> {
    if (connection === undefined)
      throw new BerthError("unavailable", `the shim of sandbox ${call.id} is gone`, {
        stage: "sandbox",
        hint: "shut it down, and create it again",
      });
    return connection.client(Sandbox);
  }

  #add(ref: SandboxRef, record: SandboxRecord): Live {
    const { address, ttrpcAddress, publishBinary } = this.#options;
    const bundle = this.#bundles.path(ref.namespace, ref.id);
    const live: Live = {
      call: { ...ref, program: record.program, bundle, address, ttrpcAddress, publishBinary },
      record,
      connection: undefined,
      leaving: false,
      watching: false,
      exit: undefined,
      ended: Promise.withResolvers(),
      closeLog: followLog(this.#sys, bundle, ref.id),
    };
    this.#live.set(keyOf(ref), live);
    return live;
  }

  #save({ call, record }: Live): void {
    this.#bundles.save(call.bundle, record);
  }

  async #connect(live: Live, shim: ShimAddress): Promise<void> {
    live.record.shim = shim;
    const connection = connect({
      address: shim.address,
      bare: "abstract",
      dialTimeoutMs: DIAL_MS,
      background: true,
      headers: { "containerd-namespace-ttrpc": live.call.namespace },
      onLost: () => {
        if (live.connection !== connection) return;
        live.connection = undefined;
        if (!live.leaving) void this.#lost(live);
      },
    });
    await connection.open();
    live.connection = connection;
  }

  #disconnect(live: Live): void {
    live.closeLog();
    const { connection } = live;
    live.connection = undefined;
    connection?.close();
  }

  /** Waits for the end of a sandbox, once. */
  #watch(live: Live): void {
    if (live.watching || live.connection === undefined) return;
    live.watching = true;
    this.#client(live)
      .waitSandbox({ sandboxId: live.call.id })
      .then((answer) => this.#end(live, exitOf(answer)))
      // A shim that is lost is noticed by its connection.
      .catch(() => {
        live.watching = false;
      });
  }

  #end(live: Live, exit: Exit): void {
    if (live.exit !== undefined) return;
    live.exit = exit;
    live.ended.resolve(exit);
    const { namespace, id } = live.call;
    if (live.record.started) this.#onExit({ namespace, id, ...exit });
  }

  /** The shim died: its program removes what it left. */
  async #lost(live: Live): Promise<void> {
    const { id } = live.call;
    let exit: Exit = { exitStatus: 255, exitedAt: systemClock.wall() };
    try {
      const { exitStatus, exitedAt } = await deleteShim(this.#sys, live.call);
      exit = { exitStatus, exitedAt };
    } catch (error) {
      log.warn("what the shim of a sandbox left could not be removed", {
        sandbox: id,
        error: BerthError.from(error).message,
      });
    }
    log.warn("the shim of a sandbox was lost", { sandbox: id });
    this.#end(live, exit);
  }

  /** Undoes a create or start that failed: ends the shim and removes its files. */
  async #discard(live: Live): Promise<void> {
    live.leaving = true;
    const { connection, record } = live;
    const { id } = live.call;
    const options = { timeoutMs: SHUTDOWN_MS };
    try {
      await connection?.client(Sandbox).shutdownSandbox({ sandboxId: id }, options);
    } catch (error) {
      // A shim without sandboxes ends like that of a task.
      if (isCode(error, "unimplemented"))
        await connection!
          .client(taskService(record.shim))
          .shutdown({ id }, options)
          .catch(() => undefined);
      else log.debug("a shim did not shut a sandbox down", { error: BerthError.from(error).message });
    }
    this.#disconnect(live);
    await deleteShim(this.#sys, live.call).catch((error: unknown) => {
      log.debug("a shim could not clear away", { error: BerthError.from(error).message });
    });
    await this.#forget(live);
  }

  async #forget(live: Live): Promise<void> {
    this.#disconnect(live);
    this.#live.delete(keyOf(live.call));
    await this.#bundles.remove(live.call.bundle);
  }
}

const keyOf = ({ namespace, id }: SandboxRef) => `${namespace}/${id}`;

/** The shim, or the sandbox in it, has ended already. */
function isGone(error: unknown): boolean {
  return isCode(error, "unavailable") || isCode(error, "canceled") || isCode(error, "not_found");
}

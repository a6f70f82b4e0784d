import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Sandbox } from "@berth/api/sandbox";
import { Shim } from "@berth/api/shim";
import { Events } from "@berth/api/shimEvents";
import { Task as Task2 } from "@berth/api/task2";
import { Task } from "@berth/api/task3";
import { Status } from "@berth/api/taskTypes";
import { BerthError } from "@berth/base";
import { service } from "@berth/rpc";
import { type Connection, connect, serve as listen, type RunningServer } from "@berth/ttrpc";
import { config, FakeHost } from "../keeper/fake-host.ts";
import type { ShimCall } from "./flags.ts";
import { serve, takePlace } from "./serve.ts";
import { restoreLog } from "./test-log.ts";

const STATE = "/run/berth/shims/x";
const REPORT = 3;
const SIGTERM = 15;

/** A serving process: its machine is fake, its socket and containerd's are real. */
class Serving {
  readonly host = new FakeHost(STATE);
  readonly folder = mkdtempSync(join(tmpdir(), "berth-shim-"));
  /** Events that containerd got: topics. */
  readonly topics: string[] = [];
  /** Errors that containerd answers events with, one each. */
  readonly refusals: BerthError[] = [];
  readonly exited: Promise<number>;
  #containerd: RunningServer | undefined;
  readonly #connection: Connection;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.exited = promise;
    this.host.exit = resolve;
    this.host.variables.TTRPC_ADDRESS = join(this.folder, "events");
    this.#connection = connect({ address: this.call().socket! });
  }

  call(): ShimCall {
    return {
      action: "serve",
      namespace: "ns",
      id: "a",
      bundle: this.bundle("a"),
      state: STATE,
      socket: join(this.folder, "s"),
      debug: false,
    };
  }

  /** The bundle of a container, with a config.json. */
  bundle(id: string): string {
    const path = `/b/${id}`;
    if (!this.host.files.has(path)) {
      this.host.put(`${path}/config.json`, new TextDecoder().decode(config()));
      this.host.mkdirAll(`${path}/rootfs`, 0o755);
    }
    return path;
  }

  async start(): Promise<void> {
    const forward = ({ envelope }: { envelope?: { topic: string } | undefined }) => {
      const refusal = this.refusals.shift();
      if (refusal !== undefined) throw refusal;
      this.topics.push(envelope!.topic);
      return {};
    };
    const address = join(this.folder, "events");
    this.#containerd = await listen({ address, services: [service(Events, { forward })] });
    await serve(this.host, this.call());
    assert.equal(this.host.output(REPORT).toString(), "serving");
  }

  get task() {
    return this.#connection.client(Task);
  }
  get sandbox() {
    return this.#connection.client(Sandbox);
  }
  get shim() {
    return this.#connection.client(Shim);
  }
  get task2() {
    return this.#connection.client(Task2);
  }

  async create(id: string): Promise<number> {
    return (await this.task.create({ id, bundle: this.bundle(id) })).pid;
  }

  async close(): Promise<void> {
    this.host.signalListeners.get("SIGTERM")?.();
    await this.exited;
    this.#connection.close();
    await this.#containerd?.close(0);
    rmSync(this.folder, { recursive: true });
  }
}

async function setup(t: TestContext): Promise<Serving> {
  restoreLog(t);
  const serving = new Serving();
  await serving.start();
  t.after(() => serving.close());
  return serving;
}

test("a process that finds the folder locked reports busy and exits", async () => {
  const host = new FakeHost(STATE);
  host.locked.add(`${STATE}/lock`);
  await serve(host, { action: "serve", state: STATE });
  assert.deepEqual([host.output(REPORT).toString(), host.exited], ["busy", 0]);
  assert.equal(host.fds.size, 0);
});

test("a folder that was removed together with its lock is created again", () => {
  const host = new FakeHost(STATE);
  let races = 2;
  const { tryLock } = host;
  host.tryLock = (fd) => {
    // The one that held the lock removes the folder and exits.
    if (races-- > 0) host.removeTree(STATE);
    return tryLock.call(host, fd);
  };
  assert.equal(takePlace(host, STATE), true);
  assert.ok(host.files.has(`${STATE}/lock`));
  assert.equal(host.fds.size, 1);
});

test("a process that cannot serve reports the reason and exits", async () => {
  const host = new FakeHost(STATE);
  await serve(host, { action: "serve", state: STATE, namespace: "ns", id: "a" });
  assert.deepEqual([host.output(REPORT).toString(), host.exited], ["-socket: found none, expected one", 1]);
});

test("a container's life cycle: events are in order; afterwards the process exits and removes its files", async (t) => {
  const serving = await setup(t);
  const { host, task } = serving;
  const pid = await serving.create("a");
  assert.deepEqual([(await task.state({ id: "a" })).status, pid], [Status.CREATED, host.last.pid]);
  assert.deepEqual(await task.start({ id: "a" }).then((r) => r.pid), pid);
  const { shimPid, taskPid } = await task.connect({ id: "a" });
  assert.deepEqual([shimPid, taskPid], [host.pid(), pid]);
  await task.exec({
    id: "a",
    execId: "x",
    spec: {
      typeUrl: "process",
      value: new TextEncoder().encode('{"user":{"uid":0,"gid":0},"cwd":"/","args":["x"]}'),
    },
  });
  await task.start({ id: "a", execId: "x" });
  host.end(host.last, 0, 1n);
  assert.equal((await task.wait({ id: "a", execId: "x" })).exitStatus, 0);
  await task.delete({ id: "a", execId: "x" });
  await task.kill({ id: "a", signal: 9, all: true });
  assert.equal((await task.wait({ id: "a" })).exitStatus, 137);
  assert.equal((await task.state({ id: "a" })).status, Status.STOPPED);
  assert.equal((await task.delete({ id: "a" })).exitStatus, 137);
  assert.equal(await serving.exited, 0);
  assert.deepEqual(serving.topics, [
    "/tasks/create",
    "/tasks/start",
    "/tasks/exec-added",
    "/tasks/exec-started",
    "/tasks/exit",
    "/tasks/exit",
    "/tasks/delete",
  ]);
  assert.ok(!host.files.has(STATE));
  assert.equal(host.cwd(), "/", "no bundle is held");
});

test("version 2 of the Task service is served as well", async (t) => {
  const serving = await setup(t);
  await serving.task2.create({ id: "a", bundle: serving.bundle("a") });
  assert.equal((await serving.task2.state({ id: "a" })).status, Status.CREATED);
  await assert.rejects(serving.task2.state({ id: "b" }), { code: "not_found" });
});

test("events that containerd refuses are sent again, in order", async (t) => {
  const serving = await setup(t);
  serving.refusals.push(new BerthError("internal", "not now"));
  await serving.create("a");
  await serving.task.start({ id: "a" });
  await serving.task.kill({ id: "a", signal: 9, all: true });
  await serving.task.delete({ id: "a" });
  await serving.exited;
  assert.deepEqual(serving.topics, ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
});

test("remove accepts a container in any state, and one that does not exist", async (t) => {
  const serving = await setup(t);
  const { host, shim } = serving;
  await serving.create("a");
  assert.equal((await shim.expect({ id: "b", bundle: serving.bundle("b") })).pid, host.pid());
  const pid = await serving.create("b");
  await serving.task.start({ id: "b" });
  assert.deepEqual(await shim.remove({ id: "b" }).then(({ pid, exitStatus }) => [pid, exitStatus]), [
    pid,
    137,
  ]);
  assert.equal((await shim.remove({ id: "nothing" })).exitStatus, 137);
  assert.equal(host.alive.size, 1);
  await shim.remove({ id: "a" });
  assert.equal(host.alive.size, 0);
  assert.equal(await serving.exited, 0);
});

test("SIGTERM ends the process, not its containers", async (t) => {
  const serving = await setup(t);
  await serving.create("a");
  serving.host.signalListeners.get("SIGTERM")!();
  assert.equal(await serving.exited, 0);
  assert.equal(serving.host.alive.size, 1);
  assert.ok(serving.host.files.has("/b/a/task.json"), "for delete");
  assert.ok(serving.host.files.has(STATE));
});

test("a parent checkpoint is refused", async (t) => {
  const serving = await setup(t);
  await assert.rejects(serving.task.create({ id: "a", bundle: "/b/a", parentCheckpoint: "/p" }), {
    code: "unimplemented",
  });
});

test("a sandbox starts, stops, and is removed with its members", async (t) => {
  const serving = await setup(t);
  const { host, sandbox, shim } = serving;
  await assert.rejects(sandbox.createSandbox({ sandboxId: "pod" }), {
    code: "failed_precondition",
    message: "sandbox pod: no shim was started for it",
  });
  await sandbox.createSandbox({ sandboxId: "a" });
  assert.equal((await sandbox.sandboxStatus({ sandboxId: "a" })).state, "SANDBOX_NOTREADY");
  await assert.rejects(sandbox.pingSandbox({ sandboxId: "a" }), { code: "unavailable" });
  const { pid } = await sandbox.startSandbox({ sandboxId: "a" });
  assert.equal(pid, host.last.pid);
  const status = await sandbox.sandboxStatus({ sandboxId: "a" });
  assert.deepEqual([status.state, status.info.pid], ["SANDBOX_READY", String(pid)]);
  assert.equal((await sandbox.platform({ sandboxId: "a" })).platform?.architecture, "amd64");
  await assert.rejects(sandbox.createSandbox({ sandboxId: "pod" }), { code: "already_exists" });
  assert.equal((await serving.task.connect({ id: "a" })).taskPid, pid);
  // A member is not announced.
  await serving.create("member");
  await serving.task.start({ id: "member" });
  host.deadly.add(SIGTERM);
  await sandbox.stopSandbox({ sandboxId: "a", timeoutSecs: 1 });
  assert.equal((await sandbox.waitSandbox({ sandboxId: "a" })).exitStatus, 0);
  assert.equal(host.alive.size, 1);
  await shim.remove({ id: "a" });
  assert.equal(host.alive.size, 0, "a sandbox goes with its members");
  assert.equal(await serving.exited, 0);
});

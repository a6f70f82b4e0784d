/** Sandboxes by containerd's API: records, and sandboxes of containerd-shim-berth-v1 with containers in them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { packJson, SPEC_TYPE } from "@berth/api/any";
import { Containers } from "@berth/api/containers";
import { Events } from "@berth/api/events";
import { Controller, Store } from "@berth/api/sandboxes";
import * as task3 from "@berth/api/task3";
import { Tasks } from "@berth/api/tasks";
import { Status } from "@berth/api/taskTypes";
import { connect } from "@berth/client";
import { defaultSpec } from "@berth/oci";
import { connect as connectTtrpc } from "@berth/ttrpc";
import { makeRootfs } from "../support/bundles.ts";
import { BIN } from "../support/checkout.ts";
import { cannotRun, type Daemon, Folder, startBerthd } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/bin/busybox") ?? false;
const SHIM = join(BIN, "containerd-shim-berth-v1");
const shim = { sandboxer: "shim" };

async function world(t: TestContext) {
  const folder = new Folder();
  // The shim's own folder, so that two runs do not meet.
  process.env.BERTH_SHIM_STATE = join(folder.path, "s");
  let daemon: Daemon = await startBerthd(folder.path);
  const open = () => {
    const client = connect({ address: daemon.socket });
    const { connection } = client;
    return {
      client,
      store: connection.client(Store),
      pods: connection.client(Controller),
      tasks: connection.client(Tasks),
      containers: connection.client(Containers),
    };
  };
  let now = open();
  const topics: string[] = [];
  const stop = new AbortController();
  const listen = async () => {
    const request = { filters: ['topic~="^/sandboxes/"'] };
    try {
      for await (const { topic } of now.client.connection
        .client(Events)
        .subscribe(request, { signal: stop.signal }))
        topics.push(topic);
    } catch {
      // The daemon was killed.
    }
  };
  void listen();
  const ids = new Set<string>();
  t.after(async () => {
    stop.abort();
    for (const sandboxId of ids) await now.pods.shutdown({ sandboxId, ...shim }).catch(() => undefined);
    now.client.close();
    await daemon.stop();
    delete process.env.BERTH_SHIM_STATE;
    await folder.remove();
  });
  const rootfs = join(folder.path, "rootfs");
  makeRootfs(rootfs);
  return {
    folder,
    topics,
    get now() {
      return now;
    },
    restart: async () => {
      now.client.close();
      await daemon.stop("SIGKILL");
      daemon = await startBerthd(folder.path);
      now = open();
      void listen();
    },
    /** A sandbox that runs; returns its pid. */
    sandbox: async (sandboxId: string) => {
      ids.add(sandboxId);
      await now.store.create({ sandbox: { sandboxId, runtime: { name: SHIM }, ...shim } });
      await now.pods.create({ sandboxId, ...shim });
      return now.pods.start({ sandboxId, ...shim });
    },
    /** A container's record, in a sandbox. */
    container: async (id: string, sandbox: string, args: string[]) => {
      const spec = defaultSpec();
      Object.assign(spec.process!, { terminal: false, args });
      spec.root = { path: rootfs };
      spec.linux!.namespaces = spec.linux!.namespaces!.filter(({ type }) => type !== "uts");
      spec.linux!.namespaces.push({ type: "uts", path: "/proc/1/ns/uts" });
      delete spec.hostname;
      await now.containers.create({
        container: {
          id,
          sandbox,
          runtime: { name: "io.containerd.runc.v2" },
          spec: packJson(SPEC_TYPE, JSON.stringify(spec)),
        },
      });
      const out = join(folder.path, `${id}.out`);
      writeFileSync(out, "");
      await now.tasks.create({ containerId: id, stdout: `file://${out}`, stderr: `file://${out}` });
      const { pid } = await now.tasks.start({ containerId: id });
      return { pid, output: () => readFileSync(out, "utf8") };
    },
    bundles: () => {
      const at = join(folder.path, "run/sandboxes/default");
      return existsSync(at) ? readdirSync(at) : [];
    },
  };
}

const uts = (pid: number) => execFileSync("readlink", [`/proc/${pid}/ns/uts`], { encoding: "utf8" });
const isAlive = (pid: number) => existsSync(`/proc/${pid}/exe`) && existsSync(`/proc/${pid}/ns/uts`);

test("a sandbox and its containers live in one shim, also over a kill of the daemon", { skip }, async (t) => {
  const w = await world(t);
  await assert.rejects(w.now.pods.create({ sandboxId: "pod", ...shim }), { code: "not_found" });
  const { pid, address, version } = await w.sandbox("pod");
  assert.equal(version >= 2, true);
  await assert.rejects(w.now.pods.create({ sandboxId: "pod", ...shim }), { code: "already_exists" });
  await assert.rejects(w.now.pods.start({ sandboxId: "pod", ...shim }), { code: "failed_precondition" });
  const status = await w.now.pods.status({ sandboxId: "pod", verbose: true, ...shim });
  assert.deepEqual([status.state, status.pid, status.address], ["SANDBOX_READY", pid, address]);
  assert.equal((await w.now.pods.platform({ sandboxId: "pod", ...shim })).platform?.os, "linux");
  assert.equal((await w.now.pods.metrics({ sandboxId: "pod", ...shim })).metrics?.id, "pod");
  await w.now.pods.update({ sandboxId: "pod", ...shim, sandbox: { sandboxId: "pod" } });

  const first = await w.container("first", "pod", ["sleep", "1003"]);
  assert.equal(uts(first.pid), uts(pid), "it shares the sandbox's names");
  const state = await w.now.tasks.get({ containerId: "first" });
  assert.equal(state.process?.status, Status.RUNNING);
  // What is in one shim is known to it.
  const direct = connectTtrpc({ address });
  t.after(() => direct.close());
  assert.equal((await direct.client(task3.Task).state({ id: "first" })).pid, first.pid);

  await w.restart();
  assert.equal((await w.now.pods.status({ sandboxId: "pod", ...shim })).state, "SANDBOX_READY");
  assert.equal((await w.now.tasks.get({ containerId: "first" })).process?.status, Status.RUNNING);
  const second = await w.container("second", "pod", ["hostname"]);
  await w.now.tasks.wait({ containerId: "second" });
  assert.notEqual(second.output(), "");
  await w.now.tasks.delete({ containerId: "second" });
  assert.equal((await w.now.pods.status({ sandboxId: "pod", ...shim })).state, "SANDBOX_READY");

  const ended = w.now.pods.wait({ sandboxId: "pod", ...shim });
  await w.now.tasks.kill({ containerId: "first", signal: 9 });
  await w.now.tasks.wait({ containerId: "first" });
  await w.now.tasks.delete({ containerId: "first" });
  await w.now.pods.stop({ sandboxId: "pod", timeoutSecs: 5, ...shim });
  assert.ok((await ended).exitedAt!.seconds > 0n);
  assert.equal((await w.now.pods.status({ sandboxId: "pod", ...shim })).state, "SANDBOX_NOTREADY");
  await w.now.pods.stop({ sandboxId: "pod", ...shim });
  await w.now.pods.shutdown({ sandboxId: "pod", ...shim });
  await until("the events are heard", () => w.topics.includes("/sandboxes/exit"));
  assert.deepEqual(w.topics, ["/sandboxes/create", "/sandboxes/start", "/sandboxes/exit"]);
  await until("the shim has ended", () => readdirSync(join(w.folder.path, "s")).length === 0);
  assert.deepEqual([w.bundles(), isAlive(pid)], [[], false]);
  // Gone, as far as the controller is concerned; its record stays.
  assert.equal((await w.now.pods.status({ sandboxId: "pod", ...shim })).state, "");
  await w.now.pods.stop({ sandboxId: "pod", ...shim });
  for (const call of ["start", "shutdown", "wait", "platform", "metrics"] as const)
    await assert.rejects(w.now.pods[call]({ sandboxId: "pod", ...shim }), { code: "not_found" });
  await w.now.store.get({ sandboxId: "pod" });
  await assert.rejects(w.container("late", "pod", ["true"]), /its sandbox pod does not run/);
});

test("what cannot be done is refused by name, and leaves nothing", { skip }, async (t) => {
  const w = await world(t);
  const { pods } = w.now;
  const create = (sandbox: object, more: object = {}) =>
    pods.create({ sandboxId: "x", sandbox, ...shim, ...more });
  await assert.rejects(create({}, { sandboxer: "" }), /sandboxer: found none/);
  await assert.rejects(
    create({}, { sandboxer: "podsandbox" }),
    /sandboxer: found "podsandbox", expected "shim"/,
  );
  await assert.rejects(create({}), /sandbox.runtime.name: found none/);
  await assert.rejects(create({ runtime: { name: "no.such.v1" } }), { code: "not_found" });
  const options = { typeUrl: "t", value: new Uint8Array([1]) };
  await assert.rejects(
    create({ runtime: { name: SHIM, options } }),
    /sandbox.runtime.options: found t, expected none/,
  );
  // A shim without sandboxes ends again.
  await assert.rejects(create({ runtime: { name: "io.containerd.runc.v2" } }), { code: "unimplemented" });
  await until("that shim has ended", () => {
    const running = execFileSync("ps", ["-eo", "args"], { encoding: "utf8" });
    return !running.includes(`-address ${w.folder.path}`);
  });
  await assert.rejects(create({ runtime: { name: SHIM } }, { netnsPath: "/no/such" }), /no\/such/);
  await assert.rejects(create({ runtime: { name: SHIM } }, { sandboxId: "../x" }), {
    code: "invalid_argument",
  });
  assert.deepEqual(w.bundles(), []);
  await until(
    "no shim is left",
    () => !existsSync(join(w.folder.path, "s")) || readdirSync(join(w.folder.path, "s")).length === 0,
  );
});

test("a sandbox whose shim dies has ended, and can be removed", { skip }, async (t) => {
  const w = await world(t);
  const { pid, address } = await w.sandbox("pod");
  const member = await w.container("member", "pod", ["sleep", "1004"]);
  const direct = connectTtrpc({ address });
  const { shimPid } = await direct.client(task3.Task).connect({ id: "pod" });
  direct.close();
  const ended = w.now.pods.wait({ sandboxId: "pod", ...shim });
  process.kill(shimPid, "SIGKILL");
  assert.notEqual((await ended).exitStatus, 0);
  await until("the member is known to have ended", async () => {
    const { process } = await w.now.tasks.get({ containerId: "member" });
    return process?.status === Status.STOPPED;
  });
  await w.now.tasks.delete({ containerId: "member" });
  await w.now.pods.shutdown({ sandboxId: "pod", ...shim });
  await until("nothing of it runs", () => !isAlive(pid) && !isAlive(member.pid));
  assert.deepEqual(w.bundles(), []);
  // The name is free again.
  await w.now.store.delete({ sandboxId: "pod" });
  await w.sandbox("pod");
});

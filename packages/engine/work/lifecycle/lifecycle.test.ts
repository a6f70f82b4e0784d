import assert from "node:assert/strict";
import test from "node:test";
import { containers, LABEL, pack, runc } from "@berth/api";
import { isCode } from "@berth/base";
import { type CreateTask, readTaskOptions } from "@berth/shim";
import { create } from "@bufbuild/protobuf";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";
import { ContainerStore } from "../../objects/containers/container-store.ts";
import { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";
import { FakeShim } from "../tasks/fake-shim.ts";
import { BUILT_IN, foreignRuntime } from "../tasks/runtime.ts";
import { TaskManager } from "../tasks/task-manager.ts";
import { Lifecycle } from "./lifecycle.ts";

const ref = { namespace: "n", id: "c1" };
const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };

function world(labels: { [key: string]: string } = {}) {
  const db = new Database(":memory:");
  const events = new EventBus();
  const store = new ContainerStore(db, events);
  const snapshots = new SnapshotStore(db, events, []);
  const shim = new FakeShim();
  const manager = new TaskManager(shim, { db, containers: store, snapshots, events, logs: "/nonexistent" });
  const lifecycle = new Lifecycle({ db, containers: store, events, tasks: manager });
  const topics: string[] = [];
  events.listen(({ envelope }) => topics.push(envelope.topic));
  const record = create(containers.ContainerSchema, {
    id: "c1",
    labels,
    runtime: { name: "io.containerd.runc.v2" },
    spec: { typeUrl: "t", value: Buffer.from("{}") },
  });
  store.create("n", record);
  const close = async () => {
    lifecycle.close();
    await manager.close();
  };
  return { store, shim, manager, lifecycle, topics, close };
}

const request = { containerId: "c1", rootfs: [], ...stdio };

test("a task's lifecycle, and its exit is recorded", async () => {
  const { store, shim, manager, topics, close } = world();
  await manager.create("n", request);
  await assert.rejects(manager.create("n", request), (e) => isCode(e, "already_exists"));
  await manager.start(ref);
  assert.equal(manager.state(ref).status, "running");
  await assert.rejects(manager.delete(ref), (e) => isCode(e, "failed_precondition"));
  const exit = manager.wait(ref, new AbortController().signal);
  shim.exit(ref, 7);
  assert.equal((await exit).exitStatus, 7);
  assert.equal((await manager.delete(ref)).exitStatus, 7);
  assert.equal(store.get("n", "c1").labels[LABEL.exitCode], "7");
  assert.match(store.get("n", "c1").labels[LABEL.finishedAt]!, /^\d{4}-.*Z$/);
  assert.deepEqual(topics, [
    "/containers/create",
    "/tasks/create",
    "/tasks/start",
    "/tasks/exit",
    "/tasks/delete",
  ]);
  await manager.create("n", request);
  assert.equal(store.get("n", "c1").labels[LABEL.exitCode], undefined);
  await close();
});

test("the daemon removes an attached container whose client was killed, after a while", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { store, shim, manager, close } = world({ [LABEL.autoRemove]: "attached" });
  await manager.create("n", request);
  await manager.start(ref);
  shim.exit(ref, 0);
  t.mock.timers.tick(5000);
  await Promise.resolve();
  assert.ok(store.find("n", "c1"), "a client that lives has time to ask for the exit code");
  t.mock.timers.tick(10_000);
  while (store.find("n", "c1") !== undefined) await Promise.resolve();
  await close();
});

test("a run that was in progress when the daemon was killed is removed", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { store, manager, lifecycle, close } = world({ [LABEL.autoRemove]: "attached" });
  await manager.create("n", request);
  await manager.recover();
  lifecycle.recover();
  t.mock.timers.tick(10_000);
  for (let i = 0; i < 100 && store.find("n", "c1") !== undefined; i++) await Promise.resolve();
  assert.equal(store.find("n", "c1"), undefined);
  await close();
});

test("a container whose command died before starting it is removed; one that may be started at any time is not", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  for (const [label, stays] of [
    ["attached", false],
    ["detached", false],
    ["true", true],
  ] as const)
    for (const upTo of ["record", "task"]) {
      const { store, manager, close } = world({ [LABEL.autoRemove]: label });
      if (upTo === "task") await manager.create("n", request);
      t.mock.timers.tick(59_000);
      for (let i = 0; i < 100; i++) await Promise.resolve();
      assert.ok(store.find("n", "c1"), "a slow start is waited for");
      t.mock.timers.tick(2000);
      for (let i = 0; i < 100 && store.find("n", "c1") !== undefined; i++) await Promise.resolve();
      assert.equal(store.find("n", "c1") !== undefined, stays, `${label}, with a ${upTo}`);
      await close();
    }
});

test("a removal that fails is tried again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { store, shim, manager, close } = world({ [LABEL.autoRemove]: "true" });
  await manager.create("n", request);
  await manager.start(ref);
  const deleteTask = shim.delete.bind(shim);
  let failures = 2;
  shim.delete = async (r) => {
    if (failures-- > 0) throw new Error("the cgroup is busy");
    return deleteTask(r);
  };
  shim.exit(ref, 0);
  for (let tries = 0; tries < 10 && store.find("n", "c1") !== undefined; tries++) {
    t.mock.timers.tick(3000);
    for (let i = 0; i < 100; i++) await Promise.resolve();
  }
  assert.equal(store.find("n", "c1"), undefined);
  await close();
});

test("a request's options replace the record's, and name the image to restore from", async () => {
  const { shim, manager, close } = world();
  const asked: CreateTask[] = [];
  const create = shim.create.bind(shim);
  shim.create = (request) => {
    asked.push(request);
    return create(request);
  };
  const options = pack(runc.OptionsSchema, { criuImagePath: "/image", ioUid: 5 });
  await manager.create("n", { ...request, options });
  assert.equal(asked[0]!.checkpoint, "/image");
  assert.deepEqual(asked[0]!.options, { criuImagePath: "/image", ioOwner: { uid: 5, gid: 0 } });
  await close();
});

test("missing objects are reported in containerd's words", async () => {
  const { manager, close } = world();
  assert.throws(() => manager.state(ref), /^BerthError: task c1 not found: not found$/);
  assert.throws(
    () => manager.state({ namespace: "n", id: "x" }),
    /container "x" in namespace "n": not found/,
  );
  await close();
});

test("foreign runtimes are distinguished from berth's own; its unsupported options are refused by name", () => {
  const record = (name: string, labels = {}) => ({ runtime: { name }, labels }) as ContainerRecord;
  const runcV2 = record("io.containerd.runc.v2");
  assert.equal(foreignRuntime(runcV2, undefined, BUILT_IN), undefined);
  assert.equal(foreignRuntime(runcV2, undefined, []), "io.containerd.runc.v2");
  assert.equal(
    foreignRuntime(record("io.containerd.runc.v2", { [LABEL.shim]: "external" }), undefined, BUILT_IN),
    "io.containerd.runc.v2",
  );
  assert.equal(foreignRuntime(record("io.containerd.kata.v2"), undefined, BUILT_IN), "io.containerd.kata.v2");
  const program = (binaryName: string) => pack(runc.OptionsSchema, { binaryName });
  for (const own of ["", "runc", "/usr/bin/runc", "berth-runc"])
    assert.equal(foreignRuntime(runcV2, program(own), BUILT_IN), undefined, own);
  for (const other of ["crun", "/usr/bin/crun", "/opt/runc/youki"])
    assert.equal(foreignRuntime(runcV2, program(other), BUILT_IN), "io.containerd.runc.v2", other);
  assert.deepEqual(readTaskOptions(undefined), {});
  assert.deepEqual(readTaskOptions(pack(runc.OptionsSchema, {})), {});
  assert.deepEqual(readTaskOptions(pack(runc.OptionsSchema, { systemdCgroup: true, root: "/r" })), {
    systemdCgroup: true,
    root: "/r",
  });
  assert.throws(() => readTaskOptions(pack(runc.OptionsSchema, { binaryName: "crun" })), /binary_name/);
  assert.throws(
    () => readTaskOptions(pack(runc.CheckpointOptionsSchema, { exit: true })),
    /CheckpointOptions/,
  );
});

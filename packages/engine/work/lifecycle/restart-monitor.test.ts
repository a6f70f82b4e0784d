import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { containers } from "@berth/api";
import { create } from "@bufbuild/protobuf";
import { EventBus } from "../../base/events/event-bus.ts";
import { Database } from "../../base/store/database.ts";
import { ContainerStore } from "../../objects/containers/container-store.ts";
import { SnapshotStore } from "../../objects/snapshots/snapshot-store.ts";
import { FakeShim } from "../tasks/fake-shim.ts";
import { TaskManager } from "../tasks/task-manager.ts";
import { Lifecycle } from "./lifecycle.ts";

const ref = { namespace: "n", id: "c1" };
const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
const POLICY = "berth/restart-policy";

/** A daemon without processes; `again` is its successor, with the same tasks unless the machine was rebooted. */
function world(t: TestContext, labels: { [key: string]: string }) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let ticks = 1000;
  const clock = { monotonic: () => ticks };
  const db = new Database(":memory:");
  const open = (shim: FakeShim) => {
    const events = new EventBus();
    const store = new ContainerStore(db, events);
    const snapshots = new SnapshotStore(db, events, []);
    const tasks = new TaskManager(shim, { db, containers: store, snapshots, events, logs: "/nonexistent" });
    const lifecycle = new Lifecycle({ db, containers: store, events, tasks, clock });
    const { monitor, supervisor } = lifecycle;
    monitor.start();
    const status = () => shim.list("n").find(({ id }) => id === "c1")?.status;
    return {
      store,
      shim,
      tasks,
      supervisor,
      monitor,
      status,
      labels: () => store.get("n", "c1").labels,
      run: async () => {
        await tasks.create("n", { containerId: "c1", rootfs: [], ...stdio });
        await tasks.start(ref);
        await settle();
      },
      /** The process exits after `ranMs`; returns what happened `afterMs` later. */
      exits: async (code: number, ranMs: number, afterMs: number) => {
        t.mock.timers.tick(ranMs);
        ticks += ranMs;
        shim.exit(ref, code);
        await settle();
        t.mock.timers.tick(afterMs);
        await settle();
        return status();
      },
      restartDaemon: async (reboot = false) => {
        lifecycle.close();
        await tasks.close();
        const next = open(reboot ? new FakeShim() : shim);
        t.mock.timers.tick(1);
        await settle();
        return next;
      },
    };
  };
  const first = open(new FakeShim());
  const spec = { typeUrl: "t", value: Buffer.from("{}") };
  const runtime = { name: "io.containerd.runc.v2" };
  first.store.create("n", create(containers.ContainerSchema, { id: "c1", labels, runtime, spec }));
  return first;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

test("always: 100 ms, doubled each time, and reset after ten seconds", async (t) => {
  const w = world(t, { [POLICY]: "always" });
  await w.run();
  assert.equal(await w.exits(0, 10, 99), "stopped");
  assert.ok(w.labels()["berth/restart-at"], "it shows as restarting");
  t.mock.timers.tick(1);
  await settle();
  assert.equal(w.status(), "running");
  assert.equal(w.labels()["berth/restart-at"], undefined);
  assert.equal(await w.exits(1, 10, 199), "stopped");
  t.mock.timers.tick(1);
  await settle();
  assert.equal(w.status(), "running");
  assert.equal(w.labels()["berth/restart-count"], "2");
  assert.equal(await w.exits(1, 10_000, 100), "running");
  w.monitor.close();
});

test("setting the clock while it runs neither resets nor ends the back-off", async (t) => {
  const w = world(t, { [POLICY]: "always" });
  await w.run();
  assert.equal(await w.exits(0, 10, 100), "running");
  const real = Date.now;
  let step = 0;
  t.mock.method(Date, "now", () => real.call(Date) + step);
  // An hour forward: it has not run for an hour. An hour back: ten seconds are still ten seconds.
  for (const [next, ran, ms] of [
    [3_600_000, 10, 200],
    [-3_600_000, 10, 400],
    [-7_200_000, 10_000, 100],
  ] as const) {
    step = next;
    assert.equal(await w.exits(1, ran, ms - 1), "stopped", `${ms} ms`);
    t.mock.timers.tick(1);
    await settle();
    assert.equal(w.status(), "running", `${ms} ms`);
  }
  w.monitor.close();
});

test("on-failure: only failures, up to the limit", async (t) => {
  const w = world(t, { [POLICY]: "on-failure:2" });
  await w.run();
  assert.equal(await w.exits(3, 0, 100), "running");
  assert.equal(await w.exits(3, 0, 200), "running");
  assert.equal(await w.exits(3, 0, 60_000), "stopped");
  assert.equal(w.labels()["berth/restart-count"], "2");
  // A start by hand resets the count.
  await w.tasks.delete(ref);
  await w.run();
  assert.equal(w.labels()["berth/restart-count"], undefined);
  assert.equal(await w.exits(0, 0, 60_000), "stopped");
  w.monitor.close();
});

test("a container stopped by hand stays stopped, until the daemon restarts or for good", async (t) => {
  for (const [policy, after] of [
    ["always", "running"],
    ["unless-stopped", "stopped"],
    ["on-failure", "stopped"],
  ] as const)
    await t.test(policy, async (t) => {
      const w = world(t, { [POLICY]: policy });
      await w.run();
      await w.supervisor.stop("n", "c1", { seconds: 10, signal: undefined });
      t.mock.timers.tick(60_000);
      await settle();
      assert.equal(w.status(), "stopped");
      const next = await w.restartDaemon();
      assert.equal(next.status(), after);
      next.monitor.close();
    });
});

test("a stop cancels a pending restart", async (t) => {
  const w = world(t, { [POLICY]: "unless-stopped" });
  await w.run();
  assert.equal(await w.exits(1, 0, 50), "stopped");
  assert.deepEqual(await w.supervisor.stop("n", "c1", { seconds: 0, signal: undefined }), {
    wasRunning: false,
    exit: undefined,
  });
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal(w.status(), "stopped");
  assert.equal(w.labels()["berth/restart-at"], undefined);
  w.monitor.close();
});

test("docker's rules for signals: without a stop signal any signal is a stop, otherwise only that one and SIGKILL", async (t) => {
  const w = world(t, { [POLICY]: "always" });
  await w.run();
  assert.equal(w.monitor.killed("n", "c1", 1), false);
  assert.equal(await w.exits(0, 0, 60_000), "stopped");
  w.monitor.close();
  t.mock.timers.reset();

  await t.test("with a stop signal", async (t) => {
    const w = world(t, { [POLICY]: "always", "berth/stop-signal": "SIGQUIT" });
    await w.run();
    w.monitor.killed("n", "c1", 1);
    assert.equal(await w.exits(0, 0, 100), "running");
    w.monitor.killed("n", "c1", 3);
    assert.equal(await w.exits(0, 0, 60_000), "stopped");
    w.monitor.close();
  });
});

test("running containers come back after a reboot, according to their policies", async (t) => {
  for (const [policy, after] of [
    ["always", "running"],
    ["unless-stopped", "running"],
    ["on-failure", "running"],
    ["no", undefined],
  ] as const)
    await t.test(policy, async (t) => {
      const w = world(t, { [POLICY]: policy });
      await w.run();
      const next = await w.restartDaemon(true);
      assert.equal(next.status(), after);
      next.monitor.close();
    });
  await t.test("one that was never started does not", async (t) => {
    const next = await world(t, { [POLICY]: "always" }).restartDaemon(true);
    assert.equal(next.status(), undefined);
    next.monitor.close();
  });
  await t.test("one that was stopped by hand does not", async (t) => {
    const w = world(t, { [POLICY]: "unless-stopped" });
    await w.run();
    await w.supervisor.stop("n", "c1", { seconds: 0, signal: undefined });
    const next = await w.restartDaemon(true);
    assert.equal(next.status(), undefined);
    next.monitor.close();
  });
});

test("containerd's labels: the task follows its desired state", async (t) => {
  const STATUS = "containerd.io/restart.status";
  const w = world(t, { [STATUS]: "running" });
  t.mock.timers.tick(10_000);
  await settle();
  t.mock.timers.tick(100);
  await settle();
  assert.equal(w.status(), "running", "started without a client");
  assert.equal(await w.exits(0, 20_000, 100), "running");
  assert.equal(w.labels()["containerd.io/restart.count"], "2");
  // As nerdctl stops.
  const stopped = { ...w.labels(), [STATUS]: "stopped" };
  w.store.update("n", create(containers.ContainerSchema, { id: "c1", labels: stopped }), ["labels"]);
  t.mock.timers.tick(9_999);
  await settle();
  assert.equal(w.status(), "running", "the client has its time to stop it gently");
  t.mock.timers.tick(1);
  await settle();
  assert.equal(w.status(), "stopped");
  assert.equal(w.labels()[STATUS], "stopped");
  assert.equal(w.labels()["containerd.io/restart.explicitly-stopped"], undefined);
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal(w.status(), "stopped");
  w.monitor.close();
});

test("removing the policy cancels a pending restart", async (t) => {
  const w = world(t, { [POLICY]: "always" });
  await w.run();
  assert.equal(await w.exits(1, 0, 50), "stopped");
  w.store.update("n", create(containers.ContainerSchema, { id: "c1" }), [`labels.${POLICY}`]);
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal(w.status(), "stopped");
  w.monitor.close();
});

test("a removed container is forgotten, and a failed start is retried", async (t) => {
  const w = world(t, { [POLICY]: "always" });
  await w.run();
  const { create: make } = w.shim;
  let refused = 0;
  w.shim.create = async (request) => {
    if (++refused < 3) throw new Error("no room");
    return make.call(w.shim, request);
  };
  assert.equal(await w.exits(1, 0, 100), undefined);
  for (const ms of [200, 400]) {
    t.mock.timers.tick(ms);
    await settle();
  }
  assert.equal(w.status(), "running");
  assert.equal(refused, 3);
  assert.equal(await w.exits(1, 0, 100), "stopped");
  w.store.delete("n", "c1");
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal(w.status(), "stopped");
  assert.equal(w.monitor.waiting, 0);
  w.monitor.close();
});

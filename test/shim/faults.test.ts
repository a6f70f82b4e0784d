/** Events that must not be lost: exits, out-of-memory kills, aborted requests, interrupted launches. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultSpec } from "@berth/oci";
import { BERTH_RUNC, traces } from "../support/bundles.ts";
import { bench, encode, NONE } from "../support/shim.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

const isSleep = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep");
  } catch {
    return false;
  }
};
const HOG = "head -c 64000000 /dev/zero | tail -c 63000000 >/dev/null; true";
const MEMORY = 16 << 20;

test("out-of-memory kills are reported, with the cgroup whose limit was reached", async (t) => {
  const b = await bench(t);
  const ref = await b.create(HOG, NONE, (spec) => {
    spec.linux!.resources = { memory: { limit: MEMORY, swap: MEMORY } };
  });
  await b.shim.start(ref);
  await b.shim.wait(ref);
  const ooms = b.events.filter((e) => e.topic === "/tasks/oom");
  assert.ok(ooms.length > 0);
  assert.equal(ooms[0]!.id, ref.id);
  assert.match(ooms[0]!.cgroup ?? "", new RegExp(`${ref.id}$`));
  const order = b.events
    .filter((e) => e.topic === "/tasks/oom" || e.topic === "/tasks/exit")
    .map((e) => e.topic);
  assert.equal(order.at(-1), "/tasks/exit");
});

test("a parent's limit is distinguished from the container's own; a restarted shim reports nothing twice", async (t) => {
  const b = await bench(t);
  const pod = `/berth-test-pod-${process.pid}`;
  const folder = `/sys/fs/cgroup/memory${pod}`;
  mkdirSync(folder);
  try {
    writeFileSync(`${folder}/memory.limit_in_bytes`, String(MEMORY));
    const ref = await b.create(`${HOG}; sleep 100`, NONE, (spec) => {
      spec.linux!.cgroupsPath = `${pod}/one`;
    });
    await b.shim.start(ref);
    for (let i = 0; i < 2000 && !b.events.some((e) => e.topic === "/tasks/oom"); i++) await sleep(10);
    const oom = b.events.find((e) => e.topic === "/tasks/oom");
    assert.ok(oom !== undefined, "the kill was not reported");
    assert.equal(oom.cgroup, pod);
    // Both ends of the pipe may be killed: the next command begins when that is over.
    const begun = () => b.shim.pids(ref).then((pids) => pids.some((p) => isSleep(p.pid)));
    for (let i = 0; i < 2000 && !(await begun()); i++) await sleep(10);
    await sleep(50);
    const reported = b.events.filter((e) => e.topic === "/tasks/oom").length;
    await b.shim.close();
    const next = b.open();
    await next.recover();
    await sleep(50);
    assert.equal(b.events.filter((e) => e.topic === "/tasks/oom").length, reported);
    await next.kill(ref, 9, true);
    await next.wait(ref);
    await next.delete(ref);
  } finally {
    for (const controller of readdirSync("/sys/fs/cgroup"))
      for (const path of [`/sys/fs/cgroup/${controller}${pod}`])
        try {
          rmdirSync(path);
        } catch {
          // Most hierarchies have none.
        }
  }
});

test("creates wait their turn, and an aborted one leaves nothing", async (t) => {
  const b = await bench(t, { startWorkers: 1 });
  const abort = new AbortController();
  const request = (id: string) => ({
    namespace: "test",
    id: `${id}-${process.pid}`,
    stdio: NONE,
    spec: encode({
      ...defaultSpec(),
      process: { ...defaultSpec().process, terminal: false, args: ["true"] },
    }),
    rootfs: [{ type: "bind", source: join(b.folder, "image"), options: ["rbind"] }],
  });
  const first = b.shim.create(request("first"));
  const queued = b.shim.create(request("queued"), abort.signal);
  const third = b.shim.create(request("third"));
  abort.abort();
  await assert.rejects(queued, { code: "canceled" });
  await Promise.all([first, third]);
  assert.deepEqual(
    b.shim.list("test").map((task) => task.id),
    [request("first").id, request("third").id],
  );
  // Aborted while running: created, and undone. A request that joined in the meantime keeps it.
  const late = new AbortController();
  const made = b.shim.create(request("late"), late.signal);
  setTimeout(() => late.abort(), 1);
  await assert.rejects(made, { code: "canceled" });
  assert.throws(() => b.shim.state({ namespace: "test", id: request("late").id }), /not found/);
  const again = new AbortController();
  const joined = [b.shim.create(request("both"), again.signal), b.shim.create(request("both"))] as const;
  again.abort();
  assert.equal((await joined[1]).pid, (await joined[0]).pid);
});

test("an exec'd process whose start was interrupted keeps running, or never existed", async (t) => {
  const b = await bench(t);
  const ref = await b.create("sleep 100");
  await b.shim.start(ref);
  const exec = { ...ref, execId: "added" };
  await b.shim.exec({
    ...exec,
    stdio: NONE,
    process: encode({ ...defaultSpec().process, terminal: false, args: ["sleep", "50"] }),
  });
  const record = join(b.folder, "state/io.containerd.runtime.v2.task/test", ref.id, "exec-added.json");
  const unstarted = readFileSync(record);
  const { pid } = await b.shim.start(exec);
  await b.shim.close();
  // As if the daemon had been killed before it recorded that the process runs.
  writeFileSync(record, unstarted);
  const next = b.open();
  await next.recover();
  assert.equal(next.state(exec).status, "running");
  assert.equal(next.state(exec).pid, pid);
  await next.kill(exec, 15, false);
  assert.equal((await next.wait(exec)).exitStatus, 143);
  await next.close();
  // The same, if it has exited meanwhile.
  writeFileSync(record, unstarted);
  const third = b.open();
  await third.recover();
  assert.equal((await third.wait(exec)).exitStatus, 143);
  await third.delete(exec);
});

test("an interrupted deletion is completed", async (t) => {
  const b = await bench(t);
  const ref = await b.create("exit 5");
  await b.shim.start(ref);
  await b.shim.wait(ref);
  await b.shim.close();
  // The runtime's part is done, the shim's is not.
  const runc = join(b.folder, "state/runc/test");
  assert.equal(spawnSync(BERTH_RUNC, ["--root", runc, "delete", ref.id]).status, 0);
  const next = b.open();
  await next.recover();
  assert.equal((await next.wait(ref)).exitStatus, 5);
  // Interrupted after the record was removed: the task is unknown, and its remains are removed.
  const tasks = join(b.folder, "state/io.containerd.runtime.v2.task/test");
  await next.close();
  renameSync(join(tasks, ref.id), join(tasks, ".gone-x"));
  const third = b.open();
  await third.recover();
  assert.deepEqual(third.list("test"), []);
  assert.deepEqual(readdirSync(tasks), []);
  assert.deepEqual(readdirSync(join(b.folder, "state/keepers")), []);
});

test("a fork bomb stops at its limit, and dies with its container", async (t) => {
  const b = await bench(t);
  const ref = await b.create("f() { f | f & }; f; sleep 100", NONE, (spec) => {
    spec.linux!.resources = { pids: { limit: 30 } };
  });
  await b.shim.start(ref);
  await sleep(200);
  await b.shim.kill(ref, 9, true);
  assert.equal((await b.shim.wait(ref)).exitStatus, 137);
  const pids = await b.shim.pids(ref);
  assert.deepEqual(pids, []);
});

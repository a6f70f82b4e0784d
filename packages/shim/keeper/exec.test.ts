import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskEvent, TaskShim } from "../contract/task-shim.ts";
import { config, FakeHost } from "./fake-host.ts";
import { createTaskShim } from "./shim.ts";

const init = { namespace: "ns", id: "c" };
const exec = { ...init, execId: "x" };
const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
const RECORD = "/run/berth/io.containerd.runtime.v2.task/ns/c/exec-x.json";
const SIGTERM = 15;

const process = new TextEncoder().encode(
  JSON.stringify({ user: { uid: 0, gid: 0 }, cwd: "/", args: ["date"] }),
);

/** A container that runs, without an added process yet. */
async function setup(): Promise<{ host: FakeHost; shim: TaskShim; events: TaskEvent[] }> {
  const host = new FakeHost();
  const shim = createTaskShim({ sys: host, stateDir: "/run/berth" });
  await shim.create({
    ...init,
    stdio,
    spec: config(),
    rootfs: [{ type: "bind", source: "/i", options: [] }],
  });
  await shim.start(init);
  const events: TaskEvent[] = [];
  shim.onEvent((event) => events.push(event));
  return { host, shim, events };
}

/** With an added process that runs. */
async function running() {
  const all = await setup();
  await all.shim.exec({ ...exec, stdio, process });
  const { pid } = await all.shim.start(exec);
  await all.host.last.peers[0]!.opened;
  all.events.length = 0;
  return { ...all, pid };
}

test("exec records a process, start launches it", async () => {
  const { host, shim, events } = await setup();
  await shim.exec({ ...exec, stdio, process });
  assert.equal(host.launched.length, 1);
  assert.equal(JSON.parse(host.readText(RECORD)).pid, 0);
  assert.equal(shim.state(exec).status, "created");
  const { pid } = await shim.start(exec);
  assert.equal(pid, host.last.pid);
  assert.deepEqual(events, [
    { topic: "/tasks/exec-added", ...exec },
    { topic: "/tasks/exec-started", ...exec, pid },
  ]);
  const { started, startTime } = JSON.parse(host.readText(RECORD));
  assert.deepEqual([started, startTime], [true, pid * 10]);
  assert.deepEqual(await shim.pids(init), [{ pid: host.launched[0]!.pid }, { pid, execId: "x" }]);
});

test("exec checks id and streams before it writes anything", async () => {
  const { host, shim } = await setup();
  const bad = { ...stdio, stdout: "ftp://x" };
  await assert.rejects(shim.exec({ ...exec, stdio: bad, process }), { code: "invalid_argument" });
  await assert.rejects(shim.exec({ ...exec, execId: "../x", stdio, process }), { code: "invalid_argument" });
  assert.ok(!host.files.has(RECORD));
  await shim.exec({ ...exec, stdio, process });
  await assert.rejects(shim.exec({ ...exec, stdio, process }), { message: "id x: already exists" });
});

test("the exit of an added process does not affect the container", async () => {
  const { host, shim, events, pid } = await running();
  const { token } = host.last;
  host.end(host.last, 2, 8n);
  const exit = { exitStatus: 2, exitedAt: 8n };
  assert.deepEqual(await shim.wait(exec), exit);
  assert.equal(shim.state(init).status, "running");
  assert.deepEqual(await shim.delete(exec), { ...exit, pid });
  assert.deepEqual(events, [
    { topic: "/tasks/exit", ...exec, pid, ...exit },
    { topic: "/tasks/delete", ...exec, pid, ...exit },
  ]);
  assert.deepEqual(
    [...host.files.keys()].filter((path) => path.includes(token) || path.includes("exec-")),
    [],
  );
  assert.throws(() => shim.state(exec), { message: "process x of task c not found" });
});

test("OOM kills are reported by the init process's keeper only", async () => {
  const { host, shim, events } = await running();
  host.end(host.last, 137, 8n, 1);
  await shim.wait(exec);
  assert.deepEqual(
    events.map((event) => event.topic),
    ["/tasks/exit"],
  );
});

test("the exit status of a failed start is 126, or 127 if the program is missing", async () => {
  const { host, shim, events } = await setup();
  const ENOENT = 2;
  const EACCES = 13;
  for (const [errno, status] of [
    [ENOENT, 127],
    [EACCES, 126],
  ]) {
    await shim.exec({ ...exec, stdio, process });
    host.failures.push(errno!);
    await assert.rejects(shim.start(exec));
    assert.equal(shim.state(exec).status, "stopped");
    assert.equal((await shim.delete(exec)).exitStatus, status);
  }
  assert.ok(!events.some(({ topic }) => topic === "/tasks/exec-started" || topic === "/tasks/exit"));
});

test("signals are sent by the keeper, not by pid", async () => {
  const { host, shim, pid } = await running();
  const process = host.last;
  process.answer = () => "OK";
  await shim.kill(exec, SIGTERM, false);
  assert.deepEqual(process.peers[0]!.received, ["KILL 15"]);
  assert.deepEqual(host.processes.get(pid), [], "not by pid");
  const ESRCH = 3;
  process.answer = () => `ERR ${ESRCH}`;
  await assert.rejects(shim.kill(exec, SIGTERM, false), { message: "process already finished" });
});

test("with a keeper of an earlier version, signals are sent by pid unless it was reused", async () => {
  const { host, shim, pid } = await running();
  const EINVAL = 22;
  host.last.answer = () => `ERR ${EINVAL}`;
  await shim.kill(exec, SIGTERM, false);
  assert.deepEqual(host.processes.get(pid), [SIGTERM]);
  host.put(`/proc/${pid}/stat`, `${pid} (other) S 1${" 0".repeat(17)} 777`);
  await assert.rejects(shim.kill(exec, SIGTERM, false), { message: "process already finished" });
  assert.deepEqual(host.processes.get(pid), [SIGTERM]);
});

test("a process that was not started can be deleted, but not killed", async () => {
  const { shim } = await setup();
  await shim.exec({ ...exec, stdio, process });
  await assert.rejects(shim.kill(exec, SIGTERM, false), { message: "process not created" });
  await shim.delete(exec);
  assert.throws(() => shim.state(exec), { code: "not_found" });
});

test("SIGKILL to an added process resumes a paused container", async () => {
  const { host, shim, events } = await running();
  for (const { pid } of host.alive.values())
    host.put(`/proc/${pid}/status`, "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n");
  await shim.pause(init);
  await shim.kill(exec, 9, false);
  assert.equal(shim.state(init).status, "running");
  assert.deepEqual(
    events.map((event) => event.topic),
    ["/tasks/paused", "/tasks/resumed"],
  );
});

test("closeIO before start is sent after it", async () => {
  const { host, shim } = await setup();
  await shim.exec({ ...exec, stdio, process });
  await shim.closeIO(exec);
  await shim.start(exec);
  assert.deepEqual(host.last.peers[0]!.received, ["CLOSE_STDIN"]);
});

test("deleting a task waits for its added processes, whose keepers still write exit records", async () => {
  const { host, shim } = await running();
  const added = host.last;
  host.end(host.launched[0]!, 0, 1n);
  await shim.wait(init);
  // It takes a while to die.
  host.deadly.clear();
  let deleted = false;
  const deleting = shim.delete(init).then(() => {
    deleted = true;
  });
  await new Promise(setImmediate);
  assert.ok(!deleted);
  host.end(added, 137, 2n);
  await deleting;
  assert.deepEqual(host.list("/run/berth/keepers"), []);
});

test("exec in a stopped container is refused", async () => {
  const { host, shim } = await setup();
  host.end(host.last, 0, 1n);
  await shim.wait(init);
  await assert.rejects(shim.exec({ ...exec, stdio, process }), {
    code: "failed_precondition",
    message: "cannot exec in a stopped container",
  });
});

test("without its keeper, an added process is killed, unless its pid was reused", async () => {
  const { host, shim, pid } = await running();
  host.loseKeeper(host.last);
  assert.equal((await shim.wait(exec)).exitStatus, 137);
  assert.ok(!host.alive.has(pid));
  assert.equal(shim.state(init).status, "running");

  const other = await running();
  other.host.put(`/proc/${other.pid}/stat`, `${other.pid} (other) S 1${" 0".repeat(17)} 777`);
  other.host.loseKeeper(other.host.last);
  assert.equal((await other.shim.wait(exec)).exitStatus, 137);
  assert.deepEqual(other.host.processes.get(other.pid), []);
});

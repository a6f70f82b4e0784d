import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskEvent, TaskShim } from "../contract/task-shim.ts";
import { config, FakeHost } from "./fake-host.ts";
import type { ProcessRecord } from "./folders.ts";
import { createTaskShim } from "./shim.ts";

const ref = { namespace: "ns", id: "c" };
const exec = { ...ref, execId: "x" };
const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
const TASKS = "/run/berth/io.containerd.runtime.v2.task";
const BUNDLE = `${TASKS}/ns/c`;
const KEEPERS = "/run/berth/keepers";
const PROCESS = JSON.stringify({ user: { uid: 0, gid: 0 }, cwd: "/", args: ["date"] });

/** What an earlier daemon left: a container that was created, and perhaps started. */
async function left(...done: ("start" | "exec" | "start exec")[]): Promise<FakeHost> {
  const host = new FakeHost();
  const shim = createTaskShim({ sys: host, stateDir: "/run/berth" });
  await shim.create({ ...ref, stdio, spec: config(), rootfs: [{ type: "bind", source: "/i", options: [] }] });
  if (done.includes("start")) await shim.start(ref);
  if (done.includes("exec")) await shim.exec({ ...exec, stdio, process: new TextEncoder().encode(PROCESS) });
  if (done.includes("start exec")) await shim.start(exec);
  await shim.close();
  return host;
}

async function recovered(host: FakeHost): Promise<{ shim: TaskShim; events: TaskEvent[] }> {
  // Another daemon has another clock reading: its tokens differ.
  await host.sleep(1000);
  const shim = createTaskShim({ sys: host, stateDir: "/run/berth" });
  const events: TaskEvent[] = [];
  shim.onEvent((event) => events.push(event));
  await shim.recover();
  return { shim, events };
}

function change(host: FakeHost, name: string, edit: (record: ProcessRecord) => void): void {
  const record = JSON.parse(host.readText(`${BUNDLE}/${name}`)) as ProcessRecord;
  edit(record);
  host.put(`${BUNDLE}/${name}`, JSON.stringify(record));
}

const traces = (host: FakeHost) =>
  [...host.files.keys()].filter((path) =>
    /(v2\.task|runc)\/ns\/.|\.sock$|\.exit$|cgroup\/c(\/|$)/.test(path),
  );

test("the keeper of a running task is followed again", async () => {
  const host = await left("start");
  const { shim, events } = await recovered(host);
  assert.equal(shim.state(ref).status, "running");
  host.end(host.last, 4, 5n);
  assert.deepEqual(await shim.wait(ref), { exitStatus: 4, exitedAt: 5n });
  assert.deepEqual(
    events.map((event) => event.topic),
    ["/tasks/exit"],
  );
});

test("a created task can still be started", async () => {
  const host = await left();
  const { shim } = await recovered(host);
  assert.equal(shim.state(ref).status, "created");
  await shim.start(ref);
  assert.equal(shim.state(ref).status, "running");
});

test("an exit while no daemon ran is read from its record, with the OOM kills", async () => {
  const host = await left("start");
  host.end(host.last, 137, 5n, 1);
  const { shim, events } = await recovered(host);
  await shim.wait(ref);
  assert.deepEqual(
    events.map((event) => event.topic),
    ["/tasks/oom", "/tasks/exit"],
  );
  assert.deepEqual(shim.state(ref).exitStatus, 137);
  await shim.delete(ref);
  assert.deepEqual(traces(host), []);
});

test("a start that was not recorded is detected", async () => {
  const host = await left("start");
  change(host, "task.json", (record) => {
    record.started = false;
  });
  const { shim } = await recovered(host);
  assert.equal(shim.state(ref).status, "running");
  assert.equal(JSON.parse(host.readText(`${BUNDLE}/task.json`)).started, true);
});

test("an unfinished create is undone and its launch killed", async () => {
  const host = await left();
  const { pid, initPid } = host.last;
  change(host, "task.json", (record) => {
    record.pid = 0;
  });
  host.processes.set(initPid, []);
  const { shim } = await recovered(host);
  assert.deepEqual(host.processes.get(initPid), [9]);
  assert.ok(!host.alive.has(pid));
  assert.deepEqual(shim.list(), []);
  assert.deepEqual(traces(host), []);
});

test("a bundle without any record is removed", async () => {
  const host = new FakeHost().put(`${BUNDLE}/config.json`, "{}") as FakeHost;
  const { shim } = await recovered(host);
  assert.deepEqual(shim.list(), []);
  assert.ok(!host.files.has(BUNDLE));
});

test("an unfinished delete is completed, with the keepers' files", async () => {
  const host = new FakeHost();
  const gone = `${TASKS}/ns/.gone-t1`;
  host.put(`${gone}/task.json`, JSON.stringify({ token: "t1" }));
  host.put(`${gone}/exec-x.json`, JSON.stringify({ token: "t2" }));
  host.put(`${gone}/exec-y.json`, "{ damaged");
  for (const name of ["t1.exit", "t2.exit", "t2.sock", "t3.exit"]) host.put(`${KEEPERS}/${name}`, "");
  const { shim } = await recovered(host);
  assert.deepEqual(shim.list(), []);
  assert.deepEqual(host.list(`${TASKS}/ns`), []);
  assert.deepEqual(host.list(KEEPERS), ["t3.exit"]);
});

test("a running added process is recovered; an unfinished delete is completed", async () => {
  const host = await left("start", "exec", "start exec");
  host.put(`${BUNDLE}/.gone-exec-y.json`, JSON.stringify({ token: "t9" }));
  host.put(`${KEEPERS}/t9.exit`, "0 1 0\n");
  const { shim } = await recovered(host);
  assert.equal(shim.state(exec).status, "running");
  assert.deepEqual(await shim.pids(ref), [
    { pid: host.launched[0]!.pid },
    { pid: host.last.pid, execId: "x" },
  ]);
  assert.ok(!host.files.has(`${BUNDLE}/.gone-exec-y.json`));
  assert.ok(!host.files.has(`${KEEPERS}/t9.exit`));
});

test("a launched added process without a recorded pid gets it from its keeper", async () => {
  const host = await left("start", "exec", "start exec");
  change(host, "exec-x.json", (record) => {
    Object.assign(record, { pid: 0, started: false });
    delete record.startTime;
  });
  const { shim } = await recovered(host);
  const { pid, status } = shim.state(exec);
  assert.deepEqual([pid, status], [host.last.pid, "running"]);
});

test("an added process that was not launched stays created", async () => {
  const host = await left("start", "exec");
  const { shim } = await recovered(host);
  assert.equal(shim.state(exec).status, "created");
  await shim.start(exec);
  assert.equal(shim.state(exec).status, "running");
});

test("an added process with a damaged record is dropped", async () => {
  const host = await left("start", "exec", "start exec");
  host.put(`${BUNDLE}/exec-x.json`, "{");
  const { shim } = await recovered(host);
  assert.equal(shim.state(ref).status, "running");
  assert.throws(() => shim.state(exec), { code: "not_found" });
  assert.ok(!host.files.has(`${BUNDLE}/exec-x.json`));
});

test("a damaged record of a task is rebuilt from the runtime's record and the keeper's arguments", async () => {
  const host = await left("start");
  host.put(`${BUNDLE}/task.json`, '{"execId":');
  const { shim } = await recovered(host);
  assert.deepEqual([shim.state(ref).pid, shim.state(ref).status], [host.last.pid, "running"]);
  host.end(host.last, 6, 7n);
  assert.equal((await shim.wait(ref)).exitStatus, 6, "its keeper was found");
});

test("other tasks are recovered if one cannot be", async () => {
  const host = await left("start");
  host.put(`${TASKS}/ns/broken/task.json`, "{");
  const { shim } = await recovered(host);
  assert.deepEqual(
    shim.list().map(({ id }) => id),
    ["c"],
  );
});

test("a process whose keeper was killed meanwhile is killed", async () => {
  const host = await left("start");
  host.loseKeeper(host.last);
  const { shim } = await recovered(host);
  assert.equal((await shim.wait(ref)).exitStatus, 137);
  assert.equal(host.alive.size, 0);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { CreateTask, Stdio, TaskEvent, TaskShim } from "../contract/task-shim.ts";
import { config, FakeHost } from "./fake-host.ts";
import type { ProcessRecord } from "./folders.ts";
import { createTaskShim } from "./shim.ts";

const NAMESPACE = "ns";
const ref = { namespace: NAMESPACE, id: "c" };
const stdio: Stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
const BUNDLE = "/run/berth/io.containerd.runtime.v2.task/ns/c";
const SIGTERM = 15;

function request(more: Partial<CreateTask> = {}): CreateTask {
  return {
    ...ref,
    stdio,
    spec: config(),
    rootfs: [{ type: "bind", source: "/image", options: [] }],
    ...more,
  };
}

interface Setup {
  host: FakeHost;
  shim: TaskShim;
  events: TaskEvent[];
}

function setup(): Setup {
  const host = new FakeHost();
  const shim = createTaskShim({ sys: host, stateDir: "/run/berth" });
  const events: TaskEvent[] = [];
  shim.onEvent((event) => events.push(event));
  return { host, shim, events };
}

/** With a container that runs. */
async function running(): Promise<Setup & { pid: number }> {
  const all = setup();
  const { pid } = await all.shim.create(request());
  await all.shim.start(ref);
  await all.host.last.peers[0]!.opened;
  all.events.length = 0;
  return { ...all, pid };
}

const readRecord = (host: FakeHost, name = "task.json") =>
  JSON.parse(host.readText(`${BUNDLE}/${name}`)) as ProcessRecord;
const topics = (events: readonly TaskEvent[]) => events.map((event) => event.topic);
const leftovers = (host: FakeHost) =>
  [...host.files.keys()].filter((path) =>
    /(v2\.task|runc)\/ns\/.|\.sock$|\.exit$|cgroup\/c(\/|$)/.test(path),
  );

test("a created task has a bundle, a record, a keeper and an event", async () => {
  const { host, shim, events } = setup();
  let recorded: ProcessRecord | undefined;
  host.onLaunch = () => {
    recorded = readRecord(host);
  };
  const { pid } = await shim.create(request({ options: { noNewKeyring: true } }));
  assert.equal(recorded?.pid, 0, "the record is written before the launch");
  assert.equal(pid, host.last.pid);
  const { token, ...record } = readRecord(host);
  assert.equal(token, host.last.token);
  assert.deepEqual(record, {
    execId: "",
    stdio,
    pid,
    started: false,
    bootId: "boot-1",
    options: { noNewKeyring: true },
    startTime: pid * 10,
  });
  const { namespace, id } = ref;
  const created = { namespace, id, pid, bundle: BUNDLE, stdio };
  assert.deepEqual(events, [{ topic: "/tasks/create", ...created, rootfs: request().rootfs }]);
  const state = { ...created, execId: "", status: "created", exitStatus: 0, exitedAt: 0n };
  assert.deepEqual(shim.state(ref), state);
  assert.deepEqual(shim.list(), [state]);
  assert.deepEqual(shim.list("other"), []);
  assert.equal(host.last.peers.length, 1, "the keeper is followed");
});

test("after a failed create nothing is left, and the id is free", async () => {
  const { host, shim, events } = setup();
  host.failures.push(28);
  await assert.rejects(shim.create(request()), { code: "resource_exhausted", errno: "ENOSPC" });
  assert.deepEqual(leftovers(host), []);
  assert.deepEqual(events, []);
  assert.throws(() => shim.state(ref), { code: "not_found", message: "task c not found" });
  await shim.create(request());
  assert.equal(shim.state(ref).status, "created");
});

test("invalid ids and namespaces are refused", async () => {
  const { host, shim } = setup();
  const before = host.calls.length;
  for (const bad of ["", "..", "a/b", ".gone-x", "a".repeat(129)]) {
    await assert.rejects(shim.create(request({ id: bad })), { code: "invalid_argument" });
    await assert.rejects(shim.create(request({ namespace: bad })), { code: "invalid_argument" });
  }
  assert.equal(host.calls.length, before);
});

test("identical concurrent creates share the result, a different one is refused", async () => {
  const { host, shim } = setup();
  const [first, second, third] = await Promise.allSettled([
    shim.create(request()),
    shim.create(request()),
    shim.create(request({ rootfs: [] })),
  ]);
  assert.deepEqual(first, second);
  assert.equal(first.status, "fulfilled");
  assert.equal((third as PromiseRejectedResult).reason.message, "task c: already exists");
  await assert.rejects(shim.create(request()), { code: "already_exists" });
  assert.equal(host.launched.length, 1);
});

test("a create is undone once all callers have aborted", async () => {
  const { host, shim, events } = setup();
  const [one, two] = [new AbortController(), new AbortController()];
  host.onLaunch = () => {
    one.abort();
    two.abort();
  };
  const outcomes = await Promise.allSettled([
    shim.create(request(), one.signal),
    shim.create(request(), two.signal),
  ]);
  for (const outcome of outcomes) assert.equal((outcome as PromiseRejectedResult).reason.code, "canceled");
  assert.deepEqual(leftovers(host), []);
  assert.equal(host.alive.size, 0);
  assert.deepEqual(events, []);
});

test("a create continues while one caller is left", async () => {
  const { host, shim } = setup();
  const one = new AbortController();
  host.onLaunch = () => one.abort();
  const outcomes = await Promise.allSettled([shim.create(request(), one.signal), shim.create(request())]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ["fulfilled", "fulfilled"],
  );
});

test("a caller's bundle is used and kept", async () => {
  const { host, shim } = setup();
  host.put("/b/config.json", new TextDecoder().decode(config())).put("/b/rootfs/x", "");
  const { spec: _, ...rest } = request({ bundle: "/b", rootfs: [] });
  await shim.create(rest);
  assert.ok(host.files.has("/b/task.json"));
  await shim.start(ref);
  host.end(host.last, 0, 1n);
  await shim.wait(ref);
  await shim.delete(ref);
  assert.deepEqual(host.list("/b"), ["config.json", "rootfs"]);
  assert.deepEqual(leftovers(host), []);
});

test("concurrent starts share the result; a later one is refused", async () => {
  const { host, shim, events } = setup();
  const { pid } = await shim.create(request());
  const [first, second] = await Promise.all([shim.start(ref), shim.start(ref)]);
  assert.deepEqual([first, second], [{ pid }, { pid }]);
  assert.deepEqual(topics(events), ["/tasks/create", "/tasks/start"]);
  assert.equal(readRecord(host).started, true);
  assert.equal(shim.state(ref).status, "running");
  await assert.rejects(shim.start(ref), { message: "cannot start an already running container" });
});

test("an aborted start can be repeated", async () => {
  const { shim } = setup();
  await shim.create(request());
  await assert.rejects(shim.start(ref, AbortSignal.abort()), { code: "canceled" });
  assert.equal(shim.state(ref).status, "created");
  await shim.start(ref);
  assert.equal(shim.state(ref).status, "running");
});

test("an exit is reported once, returned to all waiters and by delete", async () => {
  const { host, shim, events, pid } = await running();
  const waiting = [shim.wait(ref), shim.wait(ref)];
  await assert.rejects(shim.delete(ref), {
    code: "failed_precondition",
    message: "task c must be stopped before deletion: running",
  });
  host.end(host.last, 3, 17n);
  const exit = { exitStatus: 3, exitedAt: 17n };
  assert.deepEqual(await Promise.all(waiting), [exit, exit]);
  assert.deepEqual(events, [{ topic: "/tasks/exit", ...ref, execId: "", pid, ...exit }]);
  assert.equal(shim.state(ref).status, "stopped");
  await assert.rejects(shim.start(ref), { message: "cannot start a container that has stopped" });
  const [first, second] = await Promise.all([shim.delete(ref), shim.delete(ref)]);
  assert.deepEqual(
    [first, second],
    [
      { ...exit, pid },
      { ...exit, pid },
    ],
  );
  assert.deepEqual(topics(events), ["/tasks/exit", "/tasks/delete"]);
  assert.deepEqual(leftovers(host), []);
  await assert.rejects(shim.delete(ref), { code: "not_found" });
});

test("deleting a created task kills its process", async () => {
  const { host, shim } = setup();
  const { pid } = await shim.create(request());
  assert.deepEqual(await shim.delete(ref), { exitStatus: 137, exitedAt: 99n, pid });
  assert.equal(host.alive.size, 0);
  assert.deepEqual(leftovers(host), []);
});

test("wait can be aborted", async () => {
  const { shim } = await running();
  const abort = new AbortController();
  const waiting = shim.wait(ref, abort.signal);
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});

test("OOM kills are recorded and reported once each, with the cgroup whose limit was hit", async () => {
  const { host, shim, events } = await running();
  const [keeper] = host.last.peers;
  host.put("/sys/fs/cgroup/c/memory.events.local", "oom 1\noom_kill 1\n");
  keeper!.send("OOM 1", "OOM 1");
  assert.deepEqual(events, [{ topic: "/tasks/oom", ...ref, cgroup: "/c" }]);
  assert.equal(readRecord(host).ooms, 1);
  host.put("/sys/fs/cgroup/c/memory.events.local", "oom 0\n");
  host.end(host.last, 137, 5n, 2);
  await shim.wait(ref);
  assert.deepEqual(events.slice(1, 2), [{ topic: "/tasks/oom", ...ref, cgroup: undefined }]);
  assert.deepEqual(topics(events), ["/tasks/oom", "/tasks/oom", "/tasks/exit"]);
});

test("signals go to the init process, or to all", async () => {
  const { host, shim, pid } = await running();
  await shim.kill(ref, SIGTERM, false);
  assert.deepEqual(host.processes.get(pid), [SIGTERM]);
  await shim.kill(ref, 9, true);
  assert.deepEqual(await shim.wait(ref), { exitStatus: 137, exitedAt: 99n });
  await assert.rejects(shim.kill(ref, SIGTERM, false), {
    code: "not_found",
    message: "process already finished",
  });
});

test("a task is paused and resumed", async () => {
  const { host, shim, events } = await running();
  host.put(`/proc/${host.last.pid}/status`, "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n");
  await shim.pause(ref);
  assert.equal(shim.state(ref).status, "paused");
  await shim.resume(ref);
  assert.equal(shim.state(ref).status, "running");
  assert.deepEqual(topics(events), ["/tasks/paused", "/tasks/resumed"]);
});

test("if its keeper is killed, a process is killed as well", async () => {
  const { host, shim, events } = await running();
  const process = host.last;
  const { token } = process;
  host.loseKeeper(process);
  const { exitStatus, exitedAt } = await shim.wait(ref);
  assert.equal(exitStatus, 137);
  assert.equal(host.alive.size, 0, "it must not run on unseen");
  assert.deepEqual(topics(events), ["/tasks/exit"]);
  assert.equal(host.readText(`/run/berth/keepers/${token}.exit`), `137 ${exitedAt} 0\n`);
});

test("closing the shim leaves containers and keepers running", async () => {
  const { host, shim, events } = await running();
  await shim.close();
  await new Promise(setImmediate);
  assert.equal(host.alive.size, 1);
  assert.deepEqual(events, []);
  assert.ok(host.last.peers[0]!.closed);
  assert.deepEqual(
    [...host.fds.values()].map(({ path }) => path),
    ["memfd:berth-init"],
    "no descriptor is leaked; the copy of berth-init stays",
  );
});

test("resizePty and closeIO are sent to the keeper", async () => {
  const { host, shim } = setup();
  await shim.create(
    request({
      stdio: { ...stdio, stdin: "/in", stdout: "/out", terminal: true },
      spec: config({ process: { terminal: true, user: { uid: 0, gid: 0 }, cwd: "/", args: ["sh"] } }),
    }),
  );
  await shim.resizePty(ref, 80, 0x10018);
  await shim.closeIO(ref);
  assert.deepEqual(host.last.peers[0]!.received, ["RESIZE 80 24", "CLOSE_STDIN"]);
  host.end(host.last, 0, 1n);
  await shim.wait(ref);
  await shim.resizePty(ref, 80, 24);
});

test("resizePty needs a terminal", async () => {
  const { shim } = await running();
  await assert.rejects(shim.resizePty(ref, 80, 24), { code: "failed_precondition" });
});

test("stats are those of the cgroup", async () => {
  const { host, shim } = await running();
  host.put("/sys/fs/cgroup/c/pids.current", "7\n");
  assert.equal((await shim.stats(ref)).typeUrl, "io.containerd.cgroups.v2.Metrics");
});

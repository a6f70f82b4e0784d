import assert from "node:assert/strict";
import { test } from "node:test";
import { pack } from "@berth/api/any";
import * as runc from "@berth/api/runc";
import { FakeSys } from "@berth/sys";
import { taskEventOf } from "../foreign/events.ts";
import { eventMessage } from "./event-message.ts";
import { rotationOf } from "./log-uri.ts";
import { readTaskOptions } from "./options.ts";
import { parseRecord } from "./parse-record.ts";
import { reapLater } from "./reap.ts";
import { type ForeignTasks, routeTasks } from "./router.ts";
import { type ProcessFacts, TaskProcess } from "./task-process.ts";
import type { CreateTask, TaskEvent, TaskShim } from "./task-shim.ts";

const stdio = { stdin: "/in", stdout: "/out", stderr: "", terminal: true };

/** A shim that notes the names of its calls; `has` is part of foreign shims alone. */
function recordingShim(name: string, calls: string[], tasks: readonly string[] = []): ForeignTasks {
  const known: Record<string, unknown> = {
    has: ({ id }: { id: string }) => tasks.includes(id),
    list: () => tasks.map((id) => ({ id })),
    onEvent(listener: (event: TaskEvent) => void) {
      listener({ topic: "/tasks/paused", namespace: "ns", id: name });
      return () => calls.push(`${name} stop`);
    },
  };
  return new Proxy({} as ForeignTasks, {
    get: (_, verb: string) => known[verb] ?? (async () => void calls.push(`${name} ${verb}`)),
  });
}

test("every call goes to the shim that has the task", async () => {
  const calls: string[] = [];
  const shim = routeTasks(recordingShim("own", calls, ["a"]), recordingShim("foreign", calls, ["b"]));
  const verbs = (id: string) => {
    const ref = { namespace: "ns", id };
    return [
      () => shim.start(ref),
      () => shim.delete(ref),
      () => shim.exec({ ...ref, execId: "x", stdio, process: new Uint8Array() }),
      () => shim.state(ref),
      () => shim.kill(ref, 9, true),
      () => shim.checkpoint(ref, { path: "/i", exit: false }),
      () => shim.pause(ref),
      () => shim.resume(ref),
      () => shim.resizePty(ref, 1, 1),
      () => shim.closeIO(ref),
      () => shim.pids(ref),
      () => shim.wait(ref),
      () => shim.update(ref, new Uint8Array()),
      () => shim.stats(ref),
    ];
  };
  for (const verb of verbs("a")) await verb();
  const own = calls.splice(0);
  for (const verb of verbs("b")) await verb();
  assert.equal(own.length, 14);
  assert.ok(own.every((call) => call.startsWith("own ")));
  assert.deepEqual(
    calls,
    own.map((call) => call.replace("own", "foreign")),
  );
});

test("a create is routed by its runtime; list, events, recover and close cover both shims", async () => {
  const calls: string[] = [];
  const shim: TaskShim = routeTasks(
    recordingShim("own", calls, ["a"]),
    recordingShim("foreign", calls, ["b"]),
  );
  const request: CreateTask = { namespace: "ns", id: "n", stdio, rootfs: [] };
  await shim.create(request);
  await shim.create({ ...request, runtime: "io.containerd.runc.v2" });
  assert.deepEqual(calls.splice(0), ["own create", "foreign create"]);
  assert.deepEqual(
    shim.list().map(({ id }) => id),
    ["a", "b"],
  );
  const heard: string[] = [];
  const stop = shim.onEvent(({ id }) => heard.push(id));
  stop();
  await shim.recover();
  await shim.close();
  assert.deepEqual(heard, ["own", "foreign"]);
  assert.deepEqual(calls, [
    "own stop",
    "foreign stop",
    "own recover",
    "foreign recover",
    "own close",
    "foreign close",
  ]);
});

test("parsing a damaged record names its file", () => {
  assert.deepEqual(parseRecord("/r", '{"a":1}'), { a: 1 });
  assert.throws(() => parseRecord("/r.json", "{"), {
    code: "data_loss",
    path: "/r.json",
    message: /^\/r\.json is damaged: /,
  });
});

test("a log's rotation is parsed from its URI", () => {
  assert.equal(rotationOf("stdout", "cri-log:///a"), undefined);
  assert.deepEqual(rotationOf("stdout", "cri-log:///a?max-size=5&max-files=2"), { bytes: 5, files: 2 });
  assert.throws(() => rotationOf("stderr", "cri-log:///a?max-size=5&max-files=x"), {
    code: "invalid_argument",
    message: /^stderr: /,
  });
});

test("a child is polled until it has exited", async () => {
  const sys = new FakeSys();
  const asked: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  sys.reap = (pid) => {
    asked.push(pid);
    if (asked.length < 3) return undefined;
    resolve();
    return 0;
  };
  reapLater(sys, 0);
  assert.deepEqual(asked, []);
  reapLater(sys, 7);
  // The timers do not keep the process alive.
  const hold = setInterval(() => {}, 1000);
  await promise;
  clearInterval(hold);
  assert.deepEqual(asked, [7, 7, 7]);
});

test("only the first exit of a process counts", async () => {
  const process = new TaskProcess<ProcessFacts>({ execId: "", stdio, pid: 1, started: false });
  assert.equal(process.status, "created");
  process.record.started = true;
  assert.equal(process.status, "running");
  const waiting = [process.wait(), process.wait(new AbortController().signal)];
  await assert.rejects(process.wait(AbortSignal.abort(new Error("gone"))), /gone/);
  const exit = { exitStatus: 1, exitedAt: 2n };
  assert.ok(process.end(exit));
  assert.ok(!process.end({ exitStatus: 9, exitedAt: 9n }));
  assert.deepEqual(await Promise.all(waiting), [exit, exit]);
  assert.deepEqual(await process.wait(AbortSignal.abort()), exit, "known already");
  assert.equal(process.status, "stopped");
});

test("events survive conversion to containerd's messages and back", () => {
  const task = { namespace: "ns", id: "c" };
  const exit = { pid: 7, exitStatus: 137, exitedAt: 1_700_000_000_123_456_789n };
  const rootfs = [{ type: "overlay", source: "overlay", target: "", options: ["ro"] }];
  const events: TaskEvent[] = [
    { topic: "/tasks/create", ...task, pid: 7, bundle: "/b", stdio, rootfs },
    { topic: "/tasks/start", ...task, pid: 7 },
    { topic: "/tasks/exit", ...task, execId: "", ...exit },
    { topic: "/tasks/exit", ...task, execId: "x", ...exit },
    { topic: "/tasks/delete", ...task, execId: "", ...exit },
    { topic: "/tasks/delete", ...task, execId: "x", ...exit },
    { topic: "/tasks/exec-added", ...task, execId: "x" },
    { topic: "/tasks/exec-started", ...task, execId: "x", pid: 7 },
    { topic: "/tasks/paused", ...task },
    { topic: "/tasks/resumed", ...task },
    { topic: "/tasks/oom", ...task, cgroup: undefined },
    { topic: "/tasks/checkpointed", ...task, path: "/image" },
  ];
  for (const event of events) {
    const read = taskEventOf("ns", event.topic, eventMessage(event));
    if (read?.topic === "/tasks/create")
      read.rootfs = read.rootfs.map(({ type, source, target = "", options }) => ({
        type,
        source,
        target,
        options,
      }));
    assert.deepEqual(read, event);
  }
  assert.equal(taskEventOf("ns", "/images/create", eventMessage(events[1]!)), undefined);
});

test("runc's options are read; unsupported ones are refused by name", () => {
  const options = (given: object) => readTaskOptions(pack(runc.OptionsSchema, given));
  assert.deepEqual(readTaskOptions(undefined), {});
  assert.deepEqual(options({ noPivotRoot: true, systemdCgroup: true, root: "/r", criuWorkPath: "/w" }), {
    noPivotRoot: true,
    systemdCgroup: true,
    root: "/r",
    criuWorkPath: "/w",
  });
  assert.deepEqual(options({ binaryName: "/usr/bin/runc", shimCgroup: "/s", ioUid: 1 }), {
    shimCgroup: "/s",
    ioOwner: { uid: 1, gid: 0 },
  });
  assert.throws(() => options({ binaryName: "crun" }), {
    code: "unimplemented",
    message: 'runtime option binary_name: found "crun", expected runc or berth-runc',
  });
  const other = pack(runc.CheckpointOptionsSchema, { exit: true });
  assert.throws(() => readTaskOptions(other), {
    code: "unimplemented",
    hint: /containerd\.runc\.v1\.Options/,
  });
});

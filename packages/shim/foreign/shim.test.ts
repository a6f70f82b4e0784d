import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import * as task3 from "@berth/api/task3";
import { Status } from "@berth/api/taskTypes";
import { timestamp } from "@berth/api/time";
import { BerthError } from "@berth/base";
import { type ServiceImpl, service } from "@berth/rpc";
import { FakeSys, type RunOptions } from "@berth/sys";
import { type RunningServer, serve } from "@berth/ttrpc";
import { create, toBinary } from "@bufbuild/protobuf";
import type { CreateTask, TaskEvent } from "../contract/task-shim.ts";
import type { ForeignRecord } from "./bundle.ts";
import { ForeignShims } from "./shim.ts";

const PROGRAM = "/usr/bin/containerd-shim-test-v1";
const ref = { namespace: "ns", id: "c" };
const exec = { ...ref, execId: "x" };
const stdio = { stdin: "", stdout: "/out", stderr: "", terminal: false };
const exit = { exitStatus: 3, exitedAt: 5n };
const request: CreateTask = {
  ...ref,
  stdio,
  spec: new TextEncoder().encode("{}"),
  rootfs: [],
  runtime: PROGRAM,
};

/**
 * A shim of somebody else's: its program as FakeSys runs it, and its Task service on a real socket. The container ends
 * when `ends` is resolved.
 */
class TestShim {
  readonly sys = new FakeSys();
  readonly folder = mkdtempSync(join(tmpdir(), "berth-foreign-"));
  /** Calls of the program and of the service, in order. */
  readonly calls: string[] = [];
  /** Replaces verbs of the service. */
  readonly overrides: Partial<ServiceImpl<typeof task3.Task>> = {};
  readonly ends = new Map<string, PromiseWithResolvers<typeof exit>>();
  #server: RunningServer | undefined;

  get address(): string {
    return join(this.folder, "d");
  }

  constructor() {
    this.sys.put(PROGRAM, "", "file", 0o755);
    this.sys.programs.set(PROGRAM, ({ args }: RunOptions) => {
      this.calls.push(args.at(-1)!);
      if (args.at(-1) === "start") {
        const address = `unix://${join(this.folder, "s")}`;
        return {
          stdout: new TextEncoder().encode(JSON.stringify({ version: 3, protocol: "ttrpc", address })),
        };
      }
      const { DeleteResponseSchema } = task3;
      const answer = create(DeleteResponseSchema, { pid: 7, exitStatus: 137, exitedAt: timestamp(9n) });
      return { stdout: toBinary(DeleteResponseSchema, answer) };
    });
  }

  end(execId = ""): PromiseWithResolvers<typeof exit> {
    let found = this.ends.get(execId);
    if (found === undefined) {
      found = Promise.withResolvers();
      this.ends.set(execId, found);
    }
    return found;
  }

  async listen(): Promise<void> {
    const none = (verb: string) => () => {
      this.calls.push(verb);
      return {};
    };
    const verbs = [
      "kill",
      "pause",
      "resume",
      "resizePty",
      "closeIO",
      "update",
      "checkpoint",
      "exec",
    ] as const;
    const impl = {
      ...Object.fromEntries(verbs.map((verb) => [verb, none(verb)])),
      create: () => {
        this.calls.push("create");
        return { pid: 7 };
      },
      start: ({ execId }: { execId: string }) => ({ pid: execId === "" ? 7 : 8 }),
      delete: () => ({ pid: 7, exitStatus: 3, exitedAt: timestamp(5n) }),
      state: () => ({ pid: 7, status: Status.RUNNING }),
      pids: () => ({ processes: [{ pid: 7 }, { pid: 8 }] }),
      stats: () => ({}),
      connect: () => ({}),
      shutdown: none("shutdown"),
      wait: async ({ execId }: { execId: string }) => {
        const { exitStatus, exitedAt } = await this.end(execId).promise;
        return { exitStatus, exitedAt: timestamp(exitedAt) };
      },
      ...this.overrides,
    } as unknown as ServiceImpl<typeof task3.Task>;
    this.#server = await serve({
      address: join(this.folder, "s"),
      services: [service(task3.Task, impl)],
    });
  }

  async die(): Promise<void> {
    await this.#server?.close(0);
    this.#server = undefined;
  }

  record(): ForeignRecord | undefined {
    const text = this.sys.readTextIfAny("/run/berth/shims/ns/c/shim.json");
    return text === undefined ? undefined : JSON.parse(text);
  }
}

interface Setup {
  shim: TestShim;
  shims: ForeignShims;
  events: TaskEvent[];
}

function daemon(t: TestContext, shim: TestShim): Setup {
  const { sys, address } = shim;
  const addresses = { address, ttrpcAddress: `${address}.ttrpc`, publishBinary: "/usr/bin/berthd" };
  const shims = new ForeignShims({ sys, stateDir: "/run/berth", ...addresses });
  const events: TaskEvent[] = [];
  shims.onEvent((event) => events.push(event));
  t.after(() => shims.close());
  return { shim, shims, events };
}

async function setup(t: TestContext, overrides: TestShim["overrides"] = {}): Promise<Setup> {
  const shim = new TestShim();
  Object.assign(shim.overrides, overrides);
  await shim.listen();
  const all = daemon(t, shim);
  t.after(async () => {
    await shim.die();
    rmSync(shim.folder, { recursive: true });
  });
  return all;
}

test("create starts a shim and records the task", async (t) => {
  const { shim, shims } = await setup(t);
  assert.ok(!shims.has(ref));
  assert.deepEqual(await shims.create(request), { pid: 7 });
  assert.ok(shims.has(ref));
  assert.deepEqual(shim.calls, ["start", "create"]);
  const address = `unix://${join(shim.folder, "s")}`;
  assert.deepEqual(shim.record(), {
    runtime: PROGRAM,
    program: PROGRAM,
    stdio,
    pid: 7,
    started: false,
    execs: {},
    shim: { version: 3, address },
  });
  assert.equal(shims.state(ref).status, "created");
  assert.deepEqual(await shims.start(ref), { pid: 7 });
  assert.equal(shim.record()?.started, true);
  assert.equal(shims.state(ref).status, "running");
  assert.deepEqual(
    shims.list("ns").map(({ id, pid }) => [id, pid]),
    [["c", 7]],
  );
  assert.deepEqual(shims.list("other"), []);
});

test("calls carry the namespace", async (t) => {
  const seen: unknown[] = [];
  const { shims } = await setup(t, {
    pause: (_, call) => {
      seen.push(call.headers["containerd-namespace-ttrpc"]);
      return {};
    },
  });
  await shims.create(request);
  await shims.pause(ref);
  assert.deepEqual(seen, ["ns"]);
});

test("a create that the shim refuses is undone", async (t) => {
  const { shim, shims, events } = await setup(t, {
    create: () => {
      throw new BerthError("invalid_argument", "no such runtime option");
    },
  });
  await assert.rejects(shims.create(request), {
    code: "invalid_argument",
    message: "no such runtime option",
  });
  assert.deepEqual(shim.calls, ["start", "shutdown", "delete"]);
  assert.equal(shim.record(), undefined);
  assert.ok(!shims.has(ref));
  assert.deepEqual(events, []);
  assert.equal(shim.sys.fds.size, 0);
});

test("the exit comes from wait; delete ends the shim and removes the bundle", async (t) => {
  const { shim, shims } = await setup(t);
  await shims.create(request);
  await shims.start(ref);
  shim.end().resolve(exit);
  assert.deepEqual(await shims.wait(ref), exit);
  assert.equal(shims.state(ref).status, "stopped");
  await assert.rejects(shims.kill(ref, 15, false), { message: "process already finished" });
  assert.deepEqual(await shims.delete(ref), { ...exit, pid: 7 });
  assert.deepEqual(shim.calls, ["start", "create", "shutdown"]);
  assert.equal(shim.record(), undefined);
  assert.throws(() => shims.state(ref), { code: "not_found" });
});

test("an added process is recorded, started, waited for and deleted", async (t) => {
  const { shim, shims } = await setup(t);
  await shims.create(request);
  await shims.start(ref);
  await assert.rejects(
    shims.exec({ ...exec, stdio: { ...stdio, stdout: "cri-log:///l" }, process: new Uint8Array() }),
    { code: "unimplemented" },
  );
  await shims.exec({ ...exec, stdio, process: new Uint8Array() });
  assert.equal(shims.state(exec).status, "created");
  await shims.start(exec);
  assert.deepEqual(shim.record()?.execs, { x: { stdio, pid: 8, started: true } });
  assert.deepEqual(await shims.pids(ref), [{ pid: 7 }, { pid: 8, execId: "x" }]);
  shim.end("x").resolve(exit);
  await shims.wait(exec);
  assert.equal(shims.state(ref).status, "running");
  await shims.delete(exec);
  assert.deepEqual(shim.record()?.execs, {});
});

test("after the death of a shim, its program cleans up and all processes have exited", async (t) => {
  const { shim, shims, events } = await setup(t);
  await shims.create(request);
  await shims.start(ref);
  await shims.exec({ ...exec, stdio, process: new Uint8Array() });
  const waiting = Promise.all([shims.wait(ref), shims.wait(exec)]);
  await shim.die();
  const lost = { exitStatus: 137, exitedAt: 9n };
  assert.deepEqual(await waiting, [lost, lost]);
  assert.equal(shim.calls.at(-1), "delete");
  assert.deepEqual(
    events.map((event) => [event.topic, "execId" in event && event.execId]),
    [
      ["/tasks/exit", ""],
      ["/tasks/exit", "x"],
    ],
  );
  assert.deepEqual(await shims.delete(ref), { ...lost, pid: 7 }, "it can be deleted without its shim");
  assert.equal(shim.record(), undefined);
});

test("SIGKILL resumes a paused task", async (t) => {
  const { shim, shims } = await setup(t);
  await shims.create(request);
  await shims.start(ref);
  await assert.rejects(shims.resume(ref), { code: "failed_precondition", message: "container not paused" });
  await shims.pause(ref);
  assert.equal(shims.state(ref).status, "paused");
  await shims.kill(ref, 15, false);
  await shims.kill(ref, 9, false);
  assert.deepEqual(shim.calls.slice(2), ["pause", "kill", "kill", "resume"]);
  assert.equal(shims.state(ref).status, "running");
});

test("stats of a shim without any are unimplemented", async (t) => {
  const { shims } = await setup(t);
  await shims.create(request);
  await assert.rejects(shims.stats(ref), { code: "unimplemented" });
});

test("an exit event sets the exit", async (t) => {
  const { shims, events } = await setup(t);
  await shims.create(request);
  await shims.start(ref);
  const event: TaskEvent = { topic: "/tasks/exit", ...ref, execId: "", pid: 7, ...exit };
  shims.observe({ ...event, id: "other" });
  shims.observe(event);
  assert.deepEqual(await shims.wait(ref), exit);
  assert.deepEqual(events, [], "whoever has the event passes it on");
});

/** A task that an earlier daemon left, as recorded. */
async function left(t: TestContext, overrides: TestShim["overrides"] = {}): Promise<TestShim> {
  const { shim, shims } = await setup(t, overrides);
  await shims.create(request);
  await shims.start(ref);
  await shims.close();
  shim.calls.length = 0;
  return shim;
}

test("recovery: a running task is watched again", async (t) => {
  const { shim, shims, events } = daemon(t, await left(t));
  await shims.recover();
  assert.equal(shims.state(ref).status, "running");
  shim.end().resolve(exit);
  assert.deepEqual(await shims.wait(ref), exit);
  assert.deepEqual([shim.calls, events], [[], []], "the shim's own event comes over the socket");
});

test("recovery: an exit while no daemon ran is reported", async (t) => {
  const state = () => ({ pid: 7, status: Status.STOPPED, exitStatus: 3, exitedAt: timestamp(5n) });
  const { shims, events } = daemon(t, await left(t, { state }));
  await shims.recover();
  assert.deepEqual(events, [{ topic: "/tasks/exit", ...ref, execId: "", pid: 7, ...exit }]);
  assert.equal(shims.state(ref).status, "stopped");
});

test("recovery: a dead shim is cleaned up", async (t) => {
  const shim = await left(t);
  await shim.die();
  const record = shim.record()!;
  // Too long for a socket: dialing fails at once, instead of for ten seconds.
  record.shim!.address = `unix:///${"x".repeat(200)}`;
  shim.sys.put("/run/berth/shims/ns/c/shim.json", JSON.stringify(record));
  const { shims } = daemon(t, shim);
  await shims.recover();
  assert.deepEqual(await shims.wait(ref), { exitStatus: 137, exitedAt: 9n });
  assert.deepEqual(shim.calls, ["delete"]);
});

test("recovery: an unfinished create is undone, an empty bundle removed, a damaged one kept", async (t) => {
  const shim = await left(t);
  const record = { ...shim.record()!, pid: 0 };
  delete record.shim;
  shim.sys.put("/run/berth/shims/ns/c/shim.json", JSON.stringify(record));
  shim.sys.put("/run/berth/shims/ns/empty/config.json", "{}");
  shim.sys.put("/run/berth/shims/ns/damaged/shim.json", "{");
  const { shims } = daemon(t, shim);
  await shims.recover();
  assert.deepEqual(shim.calls, ["delete"]);
  assert.deepEqual(shims.list(), []);
  assert.deepEqual(shim.sys.list("/run/berth/shims/ns"), ["damaged"]);
});

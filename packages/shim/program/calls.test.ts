import assert from "node:assert/strict";
import { test } from "node:test";
import { ExpectRequestSchema, RemoveRequestSchema, RemoveResponseSchema } from "@berth/api/shim";
import { DeleteResponseSchema } from "@berth/api/task3";
import { nanoseconds } from "@berth/api/time";
import { RequestSchema, ResponseSchema } from "@berth/api/ttrpc";
import { SIGKILL } from "@berth/base";
import type { SpawnOptions } from "@berth/sys";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { config, FakeHost } from "../keeper/fake-host.ts";
import { createTaskShim } from "../keeper/shim.ts";
import { main } from "./main.ts";
import { placeOf } from "./place.ts";
import { SANDBOX_FILE } from "./sandboxes.ts";

const BUNDLE = "/run/containerd/io.containerd.runtime.v2.task/ns/c";
const ADDRESS = "/run/containerd/containerd.sock";
const FLAGS = ["-namespace", "ns", "-address", ADDRESS, "-id", "c"];
const CONTAINERD = 77;
const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
const HEADER = 10;
const NOT_FOUND = 5;
const UNAVAILABLE = 14;

/** A host where containerd calls the shim in a bundle. */
function setup() {
  const probe = placeOf(new FakeHost(), ADDRESS, "ns", undefined, undefined);
  const host = new FakeHost(probe.folder);
  host.put(`${BUNDLE}/config.json`, new TextDecoder().decode(config()));
  host.mkdirAll(`${BUNDLE}/rootfs`, 0o755);
  host.chdir(BUNDLE);
  host.put("/proc/self/exe", "/usr/bin/berth", "symlink");
  host.put("/proc/self/status", `Name:\tshim\nPPid:\t${CONTAINERD}\n`);
  host.put(`/proc/${CONTAINERD}/oom_score_adj`, "-999\n");
  host.feed(0, new Uint8Array());
  return { host, place: probe };
}

interface Asked {
  method: string;
  payload: Uint8Array;
}

/** The serving process: notes what it is asked, and answers a message or a status. */
function serveAt(host: FakeHost, socket: string, answer: (asked: Asked) => Uint8Array | number): Asked[] {
  const asked: Asked[] = [];
  host.serve(socket, (frame) => {
    const { method, payload } = fromBinary(RequestSchema, frame.subarray(HEADER));
    asked.push({ method, payload });
    const given = answer({ method, payload });
    const response = create(
      ResponseSchema,
      typeof given === "number"
        ? { status: { code: given, message: "status" } }
        : { payload: Uint8Array.from(given) },
    );
    const body = toBinary(ResponseSchema, response);
    const header = Buffer.alloc(HEADER);
    header.writeUInt32BE(body.length, 0);
    header.writeUInt32BE(1, 4);
    header[8] = 2;
    return Buffer.concat([header, body]);
  });
  return asked;
}

/** The program that `start` runs: reports, and has files below /proc. */
function launchAs(host: FakeHost, report: (launch: SpawnOptions, n: number) => string): SpawnOptions[] {
  const launches: SpawnOptions[] = [];
  const asInit = host.onSpawn!;
  host.onSpawn = (options, pid) => {
    if (options.argv[0] !== "containerd-shim-berth-v1") return asInit(options, pid);
    launches.push(options);
    host.processes.set(pid, []);
    host.put(`/proc/${pid}/oom_score_adj`, "0\n");
    const text = report(options, launches.length);
    if (text !== "") host.write(options.fds[3]!, new TextEncoder().encode(text));
  };
  return launches;
}

const empty = new Uint8Array();

test("start: launches a serving process and prints its address", async () => {
  const { host, place } = setup();
  host.variables.A = "1";
  const [launches, pid] = [launchAs(host, () => "serving"), 1001];
  assert.equal(await main([...FLAGS, "-publish-binary", "/usr/bin/containerd", "-debug", "start"], host), 0);
  assert.equal(host.output(1).toString(), `unix://${place.socket}`);
  assert.equal(host.output(2).toString(), "");
  const [{ path, argv, env, setsid }] = launches as [SpawnOptions];
  assert.equal(path, "/usr/bin/berth");
  assert.equal(
    argv.join(" "),
    `containerd-shim-berth-v1 ${["-namespace", "ns", "-id", "c", "-address", ADDRESS].join(" ")} ` +
      `-publish-binary /usr/bin/containerd -bundle ${BUNDLE} -state ${place.folder} -socket ${place.socket} -debug serve`,
  );
  assert.deepEqual([env, setsid], [["A=1"], true]);
  assert.equal(host.readText(`${BUNDLE}/address`), `unix://${place.socket}`);
  assert.equal(host.readText(`/proc/${pid}/oom_score_adj`), "-998", "killed before containerd");
  assert.deepEqual([...host.fds.keys()], [0]);
});

test("start: announces the container to an existing serving process", async () => {
  const { host, place } = setup();
  host.variables.MAX_SHIM_VERSION = "3";
  const asked = serveAt(host, place.socket, () => empty);
  assert.equal(await main([...FLAGS, "start"], host), 0);
  assert.deepEqual(JSON.parse(host.output(1).toString()), {
    version: 3,
    address: `unix://${place.socket}`,
    protocol: "ttrpc",
  });
  const { id, bundle, debug } = fromBinary(ExpectRequestSchema, asked[0]!.payload);
  assert.deepEqual([asked[0]!.method, id, bundle, debug], ["Expect", "c", BUNDLE, false]);
  assert.equal(host.spawned.length, 0);
});

test("start: replaces a serving process that is about to exit", async () => {
  const { host, place } = setup();
  serveAt(host, place.socket, () => UNAVAILABLE);
  // The old one holds the lock at first.
  const launches = launchAs(host, (_, n) => (n === 1 ? "busy" : "serving"));
  assert.equal(await main([...FLAGS, "start"], host), 0);
  assert.equal(launches.length, 2);
});

test("start: reports other errors of the serving process", async () => {
  const { host, place } = setup();
  serveAt(host, place.socket, () => NOT_FOUND);
  assert.equal(await main([...FLAGS, "start"], host), 1);
  assert.match(host.output(2).toString(), /^containerd-shim-berth-v1: status/);
  assert.equal(host.spawned.length, 0);
});

test("start: prints why the new process could not serve, and kills it", async () => {
  for (const [report, message] of [
    ["no space", /^containerd-shim-berth-v1: no space\n$/],
    ["", /the shim ended before it served/],
  ] as const) {
    const { host } = setup();
    launchAs(host, () => report);
    assert.equal(await main([...FLAGS, "start"], host), 1);
    assert.match(host.output(2).toString(), message);
    assert.deepEqual(host.processes.get(1001), [SIGKILL]);
  }
});

test("start: gives up on a lock that is never released, and names it", async () => {
  const { host, place } = setup();
  const launches = launchAs(host, () => "busy");
  assert.equal(await main([...FLAGS, "start"], host), 1);
  assert.match(host.output(2).toString(), /no shim serves .* after 30000 ms; another process holds .*\/lock/);
  assert.ok(host.output(2).toString().includes(`${place.folder}/lock`));
  assert.ok(launches.length > 10);
});

test("start: refuses missing and unsupported parameters", async () => {
  for (const [args, message] of [
    [["-id", "c", "start"], /-namespace: found none/],
    [["-namespace", "ns", "start"], /-id: found none/],
    [["-namespace", "ns", "-id", "c"], /found no action, expected start or delete/],
    [["stop"], /action "stop": expected start or delete/],
  ] as const) {
    const { host } = setup();
    assert.equal(await main(args, host), 1);
    assert.match(host.output(2).toString(), message);
    assert.equal(host.output(1).toString(), "");
  }
  const { host } = setup();
  host.variables.SCHED_CORE = "1";
  assert.equal(await main([...FLAGS, "start"], host), 1);
  assert.match(host.output(2).toString(), /SCHED_CORE/);
});

test("-v and -h print to standard output", async () => {
  const { host } = setup();
  assert.equal(await main(["-v"], host), 0);
  assert.match(host.output(1).toString(), /^containerd-shim-berth-v1:\n {2}Version: {2}\S+\n/);
  assert.equal(await main(["-h"], host), 0);
  assert.match(host.output(1).toString(), /-namespace NS/);
});

/** The result of `delete`, as containerd reads it. */
async function deleted(host: FakeHost) {
  assert.equal(await main([...FLAGS, "-bundle", BUNDLE, "delete"], host), 0, host.output(2).toString());
  const { pid, exitStatus, exitedAt } = fromBinary(DeleteResponseSchema, host.output(1));
  return { pid, exitStatus, exitedAt: nanoseconds(exitedAt) };
}

test("delete: lets a living serving process remove the container", async () => {
  const { host, place } = setup();
  const answer = create(RemoveResponseSchema, { pid: 9, exitStatus: 7, exitedAt: 3n });
  const asked = serveAt(host, place.socket, () => toBinary(RemoveResponseSchema, answer));
  assert.deepEqual(await deleted(host), { pid: 9, exitStatus: 7, exitedAt: 3n });
  assert.equal(fromBinary(RemoveRequestSchema, asked[0]!.payload).id, "c");
});

/** A container that ran when its serving process was killed. */
async function orphaned(withExec = false) {
  const { host, place } = setup();
  const ref = { namespace: "ns", id: "c" };
  const shim = createTaskShim({ sys: host, stateDir: place.folder });
  await shim.create({ ...ref, bundle: BUNDLE, stdio, rootfs: [] });
  await shim.start(ref);
  if (withExec) {
    const added = { ...ref, execId: "x" };
    const text = JSON.stringify({ user: { uid: 0, gid: 0 }, cwd: "/", args: ["date"] });
    await shim.exec({ ...added, stdio, process: new TextEncoder().encode(text) });
    await shim.start(added);
  }
  await shim.close();
  host.put(`${place.folder}/lock`, "");
  return { host, place };
}

test("delete: kills and removes a container whose serving process died, the last one with all files", async () => {
  const { host, place } = await orphaned();
  const { pid } = host.last;
  assert.deepEqual(await deleted(host), { pid, exitStatus: 137, exitedAt: 99n });
  assert.equal(host.alive.size, 0);
  assert.ok(!host.files.has(place.folder));
  assert.deepEqual(host.list(BUNDLE)?.sort(), ["config.json", "rootfs"], "the bundle is containerd's");
});

test("delete: waits for the exit records of added processes, or they would be left", async () => {
  const { host, place } = await orphaned(true);
  const [first, added] = host.launched;
  host.deadly.clear();
  const { sleep } = host;
  host.sleep = async (ms) => {
    await sleep.call(host, ms);
    const dying = host.alive.has(first!.pid) ? first! : added!;
    if (host.alive.has(dying.pid)) host.end(dying, 137, 99n);
  };
  await deleted(host);
  assert.equal(host.alive.size, 0);
  assert.ok(!host.files.has(place.folder));
});

test("delete: waits for the lock of another delete", async () => {
  const { host, place } = await orphaned();
  host.locked.add(`${place.folder}/lock`);
  const { sleep } = host;
  host.sleep = async (ms) => {
    await sleep.call(host, ms);
    host.locked.clear();
  };
  await deleted(host);
  assert.ok(!host.files.has(place.folder));
});

test("delete: keeps the folder for other containers and for a new serving process", async () => {
  const other = await orphaned();
  other.host.put(`${other.place.folder}/runc/ns/other/record.json`, "{}");
  await deleted(other.host);
  assert.ok(other.host.files.has(other.place.folder));
  const locked = await orphaned();
  locked.host.locked.add(`${locked.place.folder}/lock`);
  await deleted(locked.host);
  assert.ok(locked.host.files.has(locked.place.folder));
});

test("delete: succeeds if nothing is left, not even the bundle", async () => {
  const { host } = setup();
  host.removeTree(BUNDLE);
  const { pid, exitStatus } = await deleted(host);
  assert.deepEqual([pid, exitStatus], [0, 137]);
});

test("delete: kills a sandbox's pause process, unless the pid was reused", async () => {
  for (const startTime of [50_000, 50_001]) {
    const { host } = setup();
    const shm = "/run/shm-of-pod";
    host.mkdirAll(shm, 0o755);
    host.mounted.add(shm);
    host.processes.set(5000, []);
    host.put("/proc/5000/stat", `5000 (berth-init) S 1${" 0".repeat(17)} 50000`);
    host.put(`${BUNDLE}/${SANDBOX_FILE}`, JSON.stringify({ pid: 5000, startTime, shm }));
    await deleted(host);
    assert.deepEqual(host.processes.get(5000), startTime === 50_000 ? [SIGKILL] : []);
    assert.ok(!host.files.has(shm) && host.mounted.size === 0);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { RuntimeInfoSchema } from "@berth/api/runtimeTypes";
import * as task3 from "@berth/api/task3";
import { timestamp } from "@berth/api/time";
import { FakeSys, type RunResult } from "@berth/sys";
import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  deleteShim,
  findShim,
  foreignRuntimeInfo,
  parseAddress,
  type ShimCall,
  shimName,
  startShim,
} from "./binary.ts";

const PROGRAM = "/usr/bin/containerd-shim-runc-v2";
const call: ShimCall = {
  program: PROGRAM,
  namespace: "ns",
  id: "c",
  bundle: "/run/berth/shims/ns/c",
  address: "/run/berth/berth.sock",
  ttrpcAddress: "/run/berth/berth.sock.ttrpc",
  publishBinary: "/usr/bin/berthd",
};
const bytes = (text: string) => new TextEncoder().encode(text);

/** A machine whose shim answers with `result`. */
function machine(result: Partial<RunResult>): FakeSys {
  const sys = new FakeSys();
  sys.programs.set(PROGRAM, () => result);
  return sys;
}

test("the file name of a shim is derived from the runtime's name", () => {
  assert.equal(shimName("io.containerd.runc.v2"), "containerd-shim-runc-v2");
  assert.equal(shimName("a.b"), "containerd-shim-a-b");
  for (const bad of [
    "",
    "runc",
    "io.containerd.runc.",
    ".",
    "io.containerd.ru/nc.v2",
    "io.containerd.runc.v 2",
  ])
    assert.throws(() => shimName(bad), { code: "invalid_argument" }, bad);
});

test("the first executable shim in PATH is found", () => {
  const sys = new FakeSys();
  sys.variables.PATH = "relative:/sbin:/usr/bin/::/opt";
  const missing = { code: "not_found", hint: /berthd's PATH/ };
  assert.throws(() => findShim(sys, "io.containerd.runc.v2"), missing);
  sys.put("/sbin/containerd-shim-runc-v2", "", "file", 0o644);
  sys.files.set("relative/containerd-shim-runc-v2", { kind: "file", content: new Uint8Array(), mode: 0o755 });
  assert.throws(() => findShim(sys, "io.containerd.runc.v2"), missing);
  sys.put("/opt/containerd-shim-runc-v2", "", "file", 0o755);
  sys.put(PROGRAM, "", "file", 0o755);
  assert.equal(findShim(sys, "io.containerd.runc.v2"), PROGRAM, "the first in PATH");
});

test("a runtime can be an absolute path", () => {
  const sys = new FakeSys().put("/x/my shim", "", "file", 0o755);
  assert.equal(findShim(sys, "/x/my shim"), "/x/my shim");
  assert.throws(() => findShim(sys, "/x/other"), { code: "not_found", hint: "correct the path" });
  delete sys.variables.PATH;
  assert.throws(() => findShim(sys, "io.containerd.runc.v2"), { code: "not_found" });
});

test("addresses are bare, or JSON of a supported version", () => {
  assert.deepEqual(parseAddress("unix:///s\n"), { version: 2, address: "unix:///s" });
  const json = (more: object) =>
    parseAddress(JSON.stringify({ version: 3, protocol: "ttrpc", address: "unix:///s", ...more }));
  assert.deepEqual(json({}), { version: 3, address: "unix:///s" });
  assert.deepEqual(json({ version: 2 }), { version: 2, address: "unix:///s" });
  assert.throws(() => json({ version: 4 }), { code: "unimplemented", message: /version 4, expected 2 to 3/ });
  assert.throws(() => json({ version: "3" }), { code: "unimplemented" });
  assert.throws(() => json({ protocol: "grpc" }), { message: /protocol "grpc", expected "ttrpc"/ });
  assert.throws(() => json({ address: 7 }), { message: /no address/ });
});

test("start: runs the shim in the bundle with containerd's arguments and environment", async () => {
  const sys = machine({ stdout: bytes("unix:///s") });
  Object.assign(sys.variables, { PATH: "/bin", NAMESPACE: "other" });
  assert.deepEqual(await startShim(sys, call), { version: 2, address: "unix:///s" });
  const [{ path, args, cwd, env }] = sys.ran as [(typeof sys.ran)[0]];
  assert.deepEqual([path, cwd], [PROGRAM, call.bundle]);
  assert.equal(
    args.join(" "),
    "-namespace ns -address /run/berth/berth.sock -publish-binary /usr/bin/berthd -id c start",
  );
  assert.deepEqual(env, {
    PATH: "/bin",
    GOMAXPROCS: "2",
    MAX_SHIM_VERSION: "3",
    TTRPC_ADDRESS: call.ttrpcAddress,
    GRPC_ADDRESS: call.address,
    NAMESPACE: "ns",
  });
});

test("start: a failure has the exit code or signal, and the output", async () => {
  const failure = async (result: Partial<RunResult>) => {
    const error = await startShim(machine(result), call).catch((e) => e);
    assert.equal(error.code, "internal");
    return error.message;
  };
  assert.equal(
    await failure({ code: 1, stderr: bytes("no runc"), stdout: bytes("\n") }),
    `${PROGRAM} start: exit code 1: no runc`,
  );
  assert.equal(await failure({ code: undefined, signal: "SIGKILL" }), `${PROGRAM} start: killed by SIGKILL`);
  assert.equal(await failure({ code: 2 }), `${PROGRAM} start: exit code 2`);
  assert.equal(await failure({ truncated: true }), `${PROGRAM} start: answered more than 65536 bytes`);
  await assert.rejects(startShim(new FakeSys(), call), { code: "not_found", errno: "ENOENT" });
});

test("delete: returns the exit", async () => {
  const answer = (exitedAt: bigint | undefined) =>
    toBinary(
      task3.DeleteResponseSchema,
      create(task3.DeleteResponseSchema, {
        pid: 7,
        exitStatus: 137,
        ...(exitedAt === undefined ? {} : { exitedAt: timestamp(exitedAt) }),
      }),
    );
  const sys = machine({ stdout: answer(1_000_000_002n) });
  assert.deepEqual(await deleteShim(sys, call), { pid: 7, exitStatus: 137, exitedAt: 1_000_000_002n });
  assert.deepEqual(sys.ran[0]!.args.slice(-3), ["-bundle", call.bundle, "delete"]);
  const { exitedAt } = await deleteShim(machine({ stdout: answer(undefined) }), call);
  assert.ok(exitedAt > 0n, "a shim that does not know the time: now");
  await assert.rejects(deleteShim(machine({ code: 1 }), call), { message: `${PROGRAM} delete: exit code 1` });
});

test("a runtime describes itself, for the options that it gets on standard input", async () => {
  const stdout = toBinary(RuntimeInfoSchema, create(RuntimeInfoSchema, { name: "kata" }));
  const sys = machine({ stdout });
  sys.put(PROGRAM, "", "file", 0o755);
  const options = create(AnySchema, { typeUrl: "t", value: bytes("v") });
  assert.equal((await foreignRuntimeInfo(sys, PROGRAM, options)).name, "kata");
  assert.deepEqual(sys.ran[0]!.args, ["-info"]);
  assert.deepEqual(sys.ran[0]!.input, toBinary(AnySchema, options));
  const failing = machine({ code: 1, stderr: bytes("flag provided but not defined: -info") });
  failing.put(PROGRAM, "", "file", 0o755);
  await assert.rejects(foreignRuntimeInfo(failing, PROGRAM, undefined), /-info: exit code 1: flag provided/);
  const babbling = machine({ stdout: bytes("\xff\xff") });
  babbling.put(PROGRAM, "", "file", 0o755);
  await assert.rejects(foreignRuntimeInfo(babbling, PROGRAM, undefined), /no RuntimeInfo/);
});

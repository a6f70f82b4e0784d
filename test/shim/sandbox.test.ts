/** containerd-shim-berth-v1's sandboxes over ttrpc, as used by containerd's "shim" sandboxer. */

import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { runtimeOptions, sandbox, task3 } from "@berth/api";
import { defaultSpec, type Spec } from "@berth/oci";
import { connect } from "@berth/ttrpc";
import { makeRootfs } from "../support/bundles.ts";
import { BIN } from "../support/checkout.ts";
import { cannotRun, run } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/bin/busybox") ?? false;
const SHIM = join(BIN, "containerd-shim-berth-v1");
const NAMESPACE = "sandbox-test";
const TIMEOUT_MS = 20_000;

/** A running sandbox, and helpers to add containers to it. */
async function makeSandbox(t: TestContext, options: { netnsPath?: string } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "berth-shim-"));
  const rootfs = join(folder, "rootfs");
  makeRootfs(rootfs);
  process.env.BERTH_SHIM_STATE = join(folder, "s");
  const id = `pod-${process.pid}`;
  const bundle = (name: string, spec: unknown) => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "config.json"), JSON.stringify(spec));
    return path;
  };
  const own = bundle("pod", { ociVersion: "1.0.2" });
  const call = (action: string) =>
    run("/bin/sh", [
      "-c",
      `cd ${own} && exec ${SHIM} -namespace ${NAMESPACE} -id ${id} -address ${folder}/none ${action} </dev/null`,
    ]);
  const { stdout: address, stderr } = await call("start");
  assert.match(address, /^unix:\/\//, stderr);
  const connection = connect({ address, timeoutMs: TIMEOUT_MS });
  const pods = connection.client(sandbox.Sandbox);
  const tasks = connection.client(task3.Task);
  t.after(async () => {
    await pods.shutdownSandbox({ sandboxId: id }).catch(() => undefined);
    connection.close();
    await call("delete");
    delete process.env.BERTH_SHIM_STATE;
    rmSync(folder, { recursive: true, force: true });
  });
  await pods.createSandbox({ sandboxId: id, bundlePath: own, ...options });
  const { pid } = await pods.startSandbox({ sandboxId: id });
  const member = async (name: string, args: string[], change: (spec: Spec) => void) => {
    const spec = defaultSpec();
    spec.process!.terminal = false;
    spec.process!.args = args;
    spec.root = { path: rootfs };
    change(spec);
    const path = bundle(name, spec);
    const out = join(path, "out");
    writeFileSync(out, "");
    await tasks.create({ id: name, bundle: path, stdout: `file://${out}` });
    await tasks.start({ id: name });
    return { id: name, output: () => readFileSync(out, "utf8") };
  };
  return { folder, id, pid, pods, tasks, member, call };
}

/** Requests a host namespace by path, which in a sandbox means the sandbox's. */
function share(spec: Spec, type: "ipc" | "uts" | "pid"): void {
  spec.linux!.namespaces = spec.linux!.namespaces!.filter((ns) => ns.type !== type);
  spec.linux!.namespaces.push({ type, path: `/proc/1/ns/${type}` });
  if (type === "uts") delete spec.hostname;
}

test("members share the requested namespaces, and a shutdown removes everything", { skip }, async (t) => {
  const { id, pid, pods, tasks, member, folder } = await makeSandbox(t);
  const status = await pods.sandboxStatus({ sandboxId: id });
  assert.deepEqual([status.state, status.pid, status.info.pid], ["SANDBOX_READY", pid, String(pid)]);
  await pods.pingSandbox({ sandboxId: id });
  const { platform } = await pods.platform({ sandboxId: id });
  assert.equal(platform?.os, "linux");
  const inside = (spec: Spec) => {
    share(spec, "uts");
    share(spec, "ipc");
    spec.process!.capabilities!.bounding!.push("CAP_SYS_ADMIN");
    spec.process!.capabilities!.effective!.push("CAP_SYS_ADMIN");
    spec.process!.capabilities!.permitted!.push("CAP_SYS_ADMIN");
    assert.ok(spec.mounts!.some((m) => m.destination === "/dev/shm" && m.type === "tmpfs"));
  };
  const first = await member("first", ["sh", "-c", "hostname member; echo shared > /dev/shm/file"], inside);
  await tasks.wait({ id: first.id });
  await tasks.delete({ id: first.id });
  const second = await member("second", ["sh", "-c", "hostname; cat /dev/shm/file; sleep 1000"], inside);
  await until("the output", () => second.output().split("\n").length > 2);
  assert.equal(second.output(), "member\nshared\n");
  const apart = await member("apart", ["sh", "-c", "ls /dev/shm; hostname"], () => {});
  await tasks.wait({ id: apart.id });
  assert.doesNotMatch(apart.output(), /member|file/);
  const ended = pods.waitSandbox({ sandboxId: id });
  await pods.shutdownSandbox({ sandboxId: id });
  await ended.catch(() => undefined);
  await until("the shim to end", () => readdirSync(join(folder, "s")).length === 0);
  assert.ok(
    !existsSync(`/proc/${pid}/ns/uts`) || /State:\tZ/.test(readFileSync(`/proc/${pid}/status`, "utf8")),
  );
  assert.doesNotMatch(readFileSync("/proc/self/mountinfo", "utf8"), new RegExp(folder));
});

test("a sandbox is in the given network, and so are its members", { skip }, async (t) => {
  const holder = await run("/bin/sh", ["-c", "unshare -n sleep 1002 >/dev/null 2>&1 & echo $!"]);
  const net = Number(holder.stdout);
  t.after(() => process.kill(net, "SIGKILL"));
  await until("the network", () => readlinkSync(`/proc/${net}/ns/net`) !== readlinkSync("/proc/self/ns/net"));
  const { pid, member, tasks } = await makeSandbox(t, { netnsPath: `/proc/${net}/ns/net` });
  assert.equal(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync(`/proc/${net}/ns/net`));
  const inside = await member("inside", ["readlink", "/proc/self/ns/net"], (spec) => {
    spec.linux!.namespaces = spec.linux!.namespaces!.filter((ns) => ns.type !== "network");
  });
  await tasks.wait({ id: inside.id });
  assert.equal(inside.output().trim(), readlinkSync(`/proc/${net}/ns/net`));
});

test("calls for another sandbox are refused, and a killed shim leaves nothing after delete", {
  skip,
}, async (t) => {
  const { id, pid, pods, tasks, call, folder } = await makeSandbox(t);
  await assert.rejects(pods.createSandbox({ sandboxId: `${id}-2`, bundlePath: "." }), {
    code: "already_exists",
  });
  await assert.rejects(pods.startSandbox({ sandboxId: "another" }), { code: "failed_precondition" });
  const { shimPid, taskPid } = await tasks.connect({ id });
  assert.equal(taskPid, pid);
  process.kill(shimPid, "SIGKILL");
  await until("the shim's end", () => !existsSync(`/proc/${shimPid}/ns/net`));
  assert.equal((await call("delete")).code, 0);
  await until("the pause process's end", () => !existsSync(`/proc/${pid}/ns/net`));
  assert.doesNotMatch(readFileSync("/proc/self/mountinfo", "utf8"), new RegExp(folder));
  assert.deepEqual(readdirSync(join(folder, "s")), []);
});

test("unknown options of a create are refused by name", { skip }, async (t) => {
  const { tasks, folder } = await makeSandbox(t);
  mkdirSync(join(folder, "x"));
  writeFileSync(join(folder, "x/config.json"), "{}");
  await assert.rejects(
    tasks.create({
      id: "x",
      bundle: join(folder, "x"),
      options: { typeUrl: runtimeOptions.OptionsSchema.typeName, value: new Uint8Array([26, 3, 65, 61, 49]) },
    }),
    /runtime option A: expected one of/,
  );
});

test("racing starts result in one process, which exits when it is not used", { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-shim-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "config.json"), "{}");
  const call = (id: string, action: string) =>
    run("/bin/sh", [
      "-c",
      `cd ${folder} && BERTH_SHIM_STATE=${folder}/s exec ${SHIM} -namespace n -id ${id} -address /none ${action} </dev/null`,
    ]);
  const ids = ["a", "b", "c", "d", "e", "f"];
  const answers = new Set((await Promise.all(ids.map((id) => call(id, "start")))).map((ran) => ran.stdout));
  assert.equal(answers.size, 1);
  const connection = connect({ address: [...answers][0]!, timeoutMs: TIMEOUT_MS });
  t.after(() => connection.close());
  const { shimPid } = await connection.client(task3.Task).connect({ id: "a" });
  const serving = readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`-state\0${folder}`);
    } catch {
      return false;
    }
  });
  assert.deepEqual(serving, [String(shimPid)]);
  for (const id of ids) assert.equal((await call(id, "delete")).stderr, "");
  await until("its end", () => readdirSync(join(folder, "s")).length === 0);
});

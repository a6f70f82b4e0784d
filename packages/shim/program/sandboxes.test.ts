import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeHost } from "../keeper/fake-host.ts";
import { membership } from "./members.ts";
import { SANDBOX_FILE, Sandboxes } from "./sandboxes.ts";

const FOLDER = "/run/berth/shims/x";
const SHM = `${FOLDER}/sandboxes/pod`;
const NETNS = "/run/netns/pod";
const pod = { id: "pod", bundle: "/b/pod", netnsPath: NETNS, hostname: "web" };
const never = new AbortController().signal;
const SIGTERM = 15;

function setup() {
  const host = new FakeHost(FOLDER).putNamespace(NETNS);
  host.mkdirAll("/b/pod", 0o755);
  return { host, sandboxes: new Sandboxes(host, FOLDER) };
}

/** With a sandbox that runs. */
async function started(request: Partial<typeof pod> = {}) {
  const all = setup();
  all.sandboxes.create({ ...pod, ...request });
  const sandbox = await all.sandboxes.start("pod");
  return { ...all, sandbox };
}

/** The configuration of a container in `sandboxes`, with its sandbox's paths made readable. */
function specOf(
  { host, sandboxes }: { host: FakeHost; sandboxes: Sandboxes },
  config: object,
  announced = false,
): { namespaces: unknown; mounts: unknown } | undefined {
  host.put("/b/c/config.json", JSON.stringify(config));
  const found = membership(host, sandboxes, "/b/c", announced);
  if (found === undefined) return undefined;
  const text = new TextDecoder().decode(found.spec).replaceAll(`/proc/${found.sandbox.pid}/`, "/POD/");
  const { linux, mounts } = JSON.parse(text);
  return { namespaces: linux.namespaces, mounts };
}

test("a sandbox holds its namespaces and a shared /dev/shm", async () => {
  const { host, sandboxes, sandbox } = await started();
  assert.equal(sandbox.pid, host.last.pid);
  assert.ok(host.mounted.has(SHM));
  assert.deepEqual(JSON.parse(host.readText(`/b/pod/${SANDBOX_FILE}`)), {
    pid: sandbox.pid,
    startTime: sandbox.pid * 10,
    shm: SHM,
  });
  assert.ok(sandboxes.isReady("pod"));
  assert.equal(sandboxes.only, sandbox);
  assert.equal(sandbox.hasNetwork, true);
});

test("create, start and get check ids and states", async () => {
  const { sandboxes } = setup();
  assert.throws(() => sandboxes.get("pod"), { code: "not_found" });
  await assert.rejects(sandboxes.start("pod"), { message: /must be created before it is started/ });
  sandboxes.create(pod);
  assert.throws(() => sandboxes.create(pod), { code: "already_exists" });
  assert.ok(!sandboxes.isReady("pod"));
  await sandboxes.start("pod");
  await assert.rejects(sandboxes.start("pod"), { message: /was started before/ });
  assert.throws(() => sandboxes.create({ ...pod, id: "other", netnsPath: "/nothing" }), {
    code: "not_found",
  });
  assert.ok(!sandboxes.has("other"));
});

test("a failed start leaves no mount, and can be repeated", async () => {
  const { host, sandboxes } = setup();
  sandboxes.create(pod);
  host.failures.push(28);
  await assert.rejects(sandboxes.start("pod"), { errno: "ENOSPC" });
  assert.equal(host.mounted.size, 0);
  assert.ok(!host.files.has(SHM));
  await sandboxes.start("pod");
  assert.ok(sandboxes.isReady("pod"));
});

test("a sandbox is killed if its record cannot be written", async () => {
  const { host, sandboxes } = setup();
  sandboxes.create({ ...pod, bundle: "/no/such/folder" });
  await assert.rejects(sandboxes.start("pod"), { errno: "ENOENT" });
  assert.equal(host.alive.size, 0);
  assert.equal(host.mounted.size, 0);
});

test("stop sends SIGTERM, and SIGKILL after the timeout", async () => {
  const { host, sandboxes, sandbox } = await started();
  const signals: number[] = [];
  const { kill } = host;
  host.kill = (pid, signal) => {
    signals.push(signal);
    return kill.call(host, pid, signal);
  };
  host.exitCodes.set(sandbox.pid, 137);
  await sandboxes.stop("pod");
  assert.equal(signals[0], SIGTERM);
  assert.equal(signals.at(-1), 9);
  assert.ok(host.monotonicMs() >= 5000);
  assert.equal((await sandboxes.wait("pod", never)).exitStatus, 137);
  assert.equal(host.mounted.size, 0);
  assert.ok(!host.files.has(`/b/pod/${SANDBOX_FILE}`));
  assert.deepEqual(
    [...host.fds.values()].filter(({ path }) => path === NETNS),
    [],
    "the network is released",
  );
  await sandboxes.stop("pod");
});

test("stop returns as soon as SIGTERM has worked", async () => {
  const { host, sandboxes } = await started();
  host.deadly.add(SIGTERM);
  await sandboxes.stop("pod", 100_000);
  assert.ok(host.monotonicMs() < 1000);
  await sandboxes.remove("pod");
  assert.equal(sandboxes.size, 0);
});

test("a sandbox that was never started can be stopped", async () => {
  const { sandboxes } = setup();
  sandboxes.create(pod);
  await sandboxes.stop("pod");
  assert.equal((await sandboxes.wait("pod", never)).exitStatus, 0);
});

test("the death of a pause process is noticed", async () => {
  const { host, sandboxes, sandbox } = await started();
  host.put(`/proc/${sandbox.pid}/stat`, `${sandbox.pid} (berth-init) Z 1${" 0".repeat(17)} 1`);
  assert.ok(!sandboxes.isReady("pod"));
  assert.equal((await sandboxes.wait("pod", never)).exitStatus, 0);
  await assert.rejects(sandboxes.wait("pod", AbortSignal.abort(new Error("gone"))), /gone/);
});

test("a sandbox without a network namespace file has no network", async () => {
  const { host, sandboxes } = setup();
  host.put("/etc/hosts", "");
  sandboxes.create({ ...pod, netnsPath: "/etc/hosts" });
  assert.equal(sandboxes.get("pod").hasNetwork, false);
});

test("members: paths of host namespaces are replaced by the sandbox's", async () => {
  const all = await started();
  all.host.putNamespace("/run/netns/other");
  const namespaces = [
    { type: "pid" },
    { type: "ipc", path: "/proc/1/ns/ipc" },
    { type: "uts", path: "/proc/self/ns/uts" },
    { type: "network", path: "/run/netns/other" },
    { type: "mount" },
  ];
  assert.deepEqual(specOf(all, { linux: { namespaces } })?.namespaces, [
    { type: "pid" },
    { type: "ipc", path: "/POD/ns/ipc" },
    { type: "uts", path: "/POD/ns/uts" },
    { type: "network", path: "/run/netns/other" },
    { type: "mount" },
  ]);
});

test("members: join the sandbox's network, unless they have their own or it has none", async () => {
  const network = [{ type: "network", path: "/POD/ns/net" }];
  assert.deepEqual(specOf(await started(), {})?.namespaces, network);
  const own = [{ type: "network" }];
  assert.deepEqual(specOf(await started(), { linux: { namespaces: own } })?.namespaces, own);
  assert.deepEqual(specOf(await started({ netnsPath: "" }), {})?.namespaces, []);
});

test("members: share /dev/shm exactly if they share IPC", async () => {
  const mounts = [
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["size=1k"] },
    { destination: "/tmp", type: "tmpfs", source: "tmp" },
  ];
  const shared = specOf(await started(), {
    mounts,
    linux: { namespaces: [{ type: "ipc", path: "/proc/1/ns/ipc" }] },
  });
  assert.deepEqual(shared?.mounts, [
    { destination: "/dev/shm", type: "bind", source: SHM, options: ["bind", "nosuid", "noexec", "nodev"] },
    mounts[1],
  ]);
  const all = await started();
  all.host.putNamespace("/run/ipc");
  for (const ipc of [{ type: "ipc" }, { type: "ipc", path: "/run/ipc" }])
    assert.deepEqual(specOf(all, { mounts, linux: { namespaces: [ipc] } })?.mounts, mounts);
});

test("members: found by containerd's file, the kubelet's annotation, or a missing announcement", async () => {
  const all = await started();
  const isMember = (config: object, announced: boolean) => specOf(all, config, announced) !== undefined;
  const annotated = (id: string) => ({ annotations: { "io.kubernetes.cri.sandbox-id": id } });
  assert.ok(isMember({}, false));
  assert.ok(!isMember({}, true));
  assert.ok(isMember(annotated("pod"), true));
  assert.ok(!isMember(annotated("other"), false), "a member of another one");
  all.host.put("/b/c/sandbox", "pod\n");
  assert.ok(isMember(annotated("other"), true));
  all.host.put("/b/c/sandbox", "other\n");
  assert.ok(!isMember({}, false));
});

test("members: without a name, there must be exactly one sandbox, which runs", async () => {
  const all = await started();
  all.sandboxes.create({ ...pod, id: "second" });
  assert.equal(specOf(all, {}), undefined);
  const none = setup();
  assert.equal(specOf(none, {}), undefined);
  none.sandboxes.create(pod);
  assert.equal(specOf(none, {}), undefined, "not before it runs");
});

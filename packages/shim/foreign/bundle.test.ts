import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSys } from "@berth/sys";
import { ForeignBundles, type ForeignRecord } from "./bundle.ts";
import { followLog } from "./log.ts";
import { foreignStdio } from "./stdio.ts";

const BUNDLE = "/run/berth/shims/ns/c";
const stdio = { stdin: "/in", stdout: "", stderr: "", terminal: false };
const record: ForeignRecord = {
  runtime: "io.containerd.runc.v2",
  program: "/usr/bin/containerd-shim-runc-v2",
  stdio,
  pid: 0,
  started: false,
  execs: {},
};
const config = (more: object = {}) => new TextEncoder().encode(JSON.stringify(more));

test("a bundle is created once, its record first", () => {
  const sys = new FakeSys();
  const bundles = new ForeignBundles(sys, "/run/berth");
  assert.deepEqual(bundles.list(), []);
  assert.equal(bundles.make("ns", "c", config(), record), BUNDLE);
  const made = sys.calls.filter((call) => call.includes(`${BUNDLE}/`));
  assert.match(made[0]!, /^write .*\/shim\.json$/);
  assert.deepEqual(sys.list(BUNDLE)?.sort(), ["config.json", "log", "rootfs", "shim.json"]);
  assert.equal(sys.stat(BUNDLE)?.mode, 0o700, "variables in config.json are nobody else's");
  assert.deepEqual(bundles.list(), [{ namespace: "ns", id: "c" }]);
  assert.deepEqual(bundles.read(BUNDLE), record);
  assert.throws(() => bundles.make("ns", "c", config(), record), {
    code: "already_exists",
    message: "task c: already exists",
  });
});

test("the folder of containerd-shim-berth-v1 holds no bundles", () => {
  const sys = new FakeSys();
  sys.put("/run/berth/shims/0123456789abcdef-ns/lock", "");
  sys.put("/run/berth/shims/0123456789abcdef-ns/keepers/x", "");
  const bundles = new ForeignBundles(sys, "/run/berth");
  bundles.make("ns", "lock", config(), record);
  assert.deepEqual(bundles.list(), [{ namespace: "ns", id: "lock" }]);
});

test("root of a user namespace has access to the bundle", () => {
  const sys = new FakeSys();
  const gidMappings = [
    { containerID: 1, hostID: 5 },
    { containerID: 0, hostID: 100_000 },
  ];
  new ForeignBundles(sys, "/run/berth").make("ns", "c", config({ linux: { gidMappings } }), record);
  assert.ok(sys.calls.includes(`chown ${BUNDLE} 0:100000`));
  assert.equal(sys.stat(BUNDLE)?.mode, 0o710);
});

test("reading names a damaged record, and returns undefined without one", () => {
  const sys = new FakeSys();
  const bundles = new ForeignBundles(sys, "/run/berth");
  assert.equal(bundles.read(BUNDLE), undefined);
  sys.put(`${BUNDLE}/shim.json`, "{");
  assert.throws(() => bundles.read(BUNDLE), { code: "data_loss", path: `${BUNDLE}/shim.json` });
});

test("removal unmounts a root file system that is still mounted", async () => {
  const sys = new FakeSys();
  const bundles = new ForeignBundles(sys, "/run/berth");
  bundles.make("ns", "c", config(), record);
  sys.mounted.add(`${BUNDLE}/rootfs`);
  await bundles.remove(BUNDLE);
  const done = sys.calls.slice(-2);
  assert.deepEqual(done, [`umount ${BUNDLE}/rootfs`, `remove ${BUNDLE}`]);
  await bundles.remove(BUNDLE);
  assert.deepEqual(bundles.list(), []);
});

test("a bundle is kept if its root file system cannot be unmounted", async () => {
  const sys = new FakeSys();
  const bundles = new ForeignBundles(sys, "/run/berth");
  bundles.make("ns", "c", config(), record);
  sys.umount = () => Promise.reject(Object.assign(new Error("busy"), { code: "EBUSY", syscall: "umount2" }));
  await assert.rejects(bundles.remove(BUNDLE), /busy/);
  assert.ok(sys.files.has(`${BUNDLE}/shim.json`));
});

test("a shim's log is followed until closed", () => {
  const sys = new FakeSys().put(`${BUNDLE}/log`, "", "fifo");
  const close = followLog(sys, BUNDLE, "c");
  assert.equal(sys.fds.size, 1);
  close();
  assert.equal(sys.fds.size, 0);
  assert.ok(sys.lineWriters.get(`${BUNDLE}/log`)!.closed);
});

test("streams other than CRI logs are passed to the shim unchanged", () => {
  const sys = new FakeSys();
  const given = { ...stdio, stdout: "/out" };
  const { stdio: result, logger, release } = foreignStdio(sys, BUNDLE, given);
  release();
  assert.deepEqual([result, logger, sys.calls], [given, 0, []]);
});

test("a CRI log is written by berth-init from FIFOs of the bundle", () => {
  const sys = new FakeSys().put(`${BUNDLE}/shim.json`, "");
  const {
    stdio: result,
    logger,
    release,
  } = foreignStdio(sys, BUNDLE, {
    ...stdio,
    stdout: "cri-log:///logs/a%20b?attach=/out&max-size=10&max-files=3",
    stderr: "cri-log:///logs/a%20b?attach=/err",
  });
  assert.deepEqual(result, { ...stdio, stdout: `${BUNDLE}/stdout`, stderr: `${BUNDLE}/stderr` });
  const [{ argv, fds, setsid, env }] = sys.spawned as [(typeof sys.spawned)[0]];
  assert.equal(logger, 1001);
  assert.deepEqual(argv, ["berth-init", "--log", "/logs/a b\n/out\n/err\n10\n3\n416"]);
  assert.deepEqual([fds.length, setsid, env], [5, true, []]);
  const held = [...sys.fds.values()].map(({ path }) => path);
  assert.deepEqual(held, [`${BUNDLE}/stdout`, `${BUNDLE}/stderr`], "until the shim has opened them");
  release();
  assert.equal(sys.fds.size, 0);
});

test("the log of a terminal has one stream", () => {
  const sys = new FakeSys().put(`${BUNDLE}/shim.json`, "");
  const { stdio: result } = foreignStdio(sys, BUNDLE, { ...stdio, stdout: "cri-log:///a", terminal: true });
  assert.deepEqual([result.stdout, result.stderr], [`${BUNDLE}/stdout`, ""]);
  assert.equal(sys.spawned[0]!.argv[2], "/a\n\n\n0\n1\n416");
});

test("no descriptor leaks if the log's writer cannot be started", () => {
  const sys = new FakeSys().put(`${BUNDLE}/shim.json`, "");
  sys.onSpawn = () => {
    throw new Error("no memory");
  };
  assert.throws(() => foreignStdio(sys, BUNDLE, { ...stdio, stdout: "cri-log:///a" }), /no memory/);
  assert.equal(sys.fds.size, 0);
});

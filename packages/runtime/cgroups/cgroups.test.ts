import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeviceRule } from "@berth/oci";
import { FakeSys } from "@berth/sys";
import { DEFAULT_DEVICE_RULES, deviceProgram, v1DeviceWrite } from "./devices.ts";
import { isFrozen, setFrozen } from "./freezer.ts";
import { parseLayout, readLayout, unescapeMountinfo } from "./layout.ts";
import { observeCgroups } from "./observe.ts";
import { cgroupFolders, cgroupPaths } from "./paths.ts";
import { cgroupPids, removeCgroup, signalAll } from "./processes.ts";
import { v1Writes, v2Writes, weightOfShares } from "./resources.ts";

const HYBRID = `22 1 0:21 / /proc rw - proc proc rw
30 25 0:26 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu
31 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children
32 25 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
33 25 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 25 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
35 25 0:31 / /var/lib/x/sys/fs/cgroup rw - cgroup2 cgroup2 rw`;

test("the layout is parsed from mountinfo", () => {
  const layout = parseLayout(HYBRID);
  assert.equal(layout.mode, "hybrid");
  assert.deepEqual(
    layout.v1.map((h) => h.controllers),
    [["cpu"], ["cpuset"], ["freezer"], ["name=systemd"]],
  );
  assert.equal(layout.unified, "/sys/fs/cgroup/unified");
  // A host with SELinux.
  const labelled = "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,seclabel,memory";
  assert.deepEqual(parseLayout(labelled).v1, [
    { controllers: ["memory"], mountpoint: "/sys/fs/cgroup/memory" },
  ]);
  assert.equal(parseLayout("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw").mode, "v2");
  assert.equal(unescapeMountinfo("/a\\040b"), "/a b");
});

test("a host without cgroup file systems is an error", () => {
  const sys = new FakeSys().put("/proc/self/mountinfo", "");
  assert.throws(() => readLayout(sys), /no cgroup file system/);
});

test("a cgroup's path stays below the root", () => {
  const layout = parseLayout(HYBRID);
  assert.equal(cgroupPaths(layout, undefined, "c").v1.cpu, "/sys/fs/cgroup/cpu/c");
  assert.equal(cgroupPaths(layout, "/a//b/", "c").path, "/a/b");
  assert.throws(() => cgroupPaths(layout, "/a/../../etc", "c"), /without "\.\."/);
  assert.throws(() => cgroupPaths(layout, "/", "c"), /below the root/);
  assert.throws(() => cgroupPaths(layout, "system.slice:berth:c", "c"), /systemd cgroup driver/);
  assert.equal(cgroupFolders(cgroupPaths(layout, undefined, "c")).length, 5);
});

test("RDMA limits are the same on both versions", () => {
  const rdma = { mlx5_0: { hcaHandles: 2, hcaObjects: 2000 }, ocrdma1: { hcaObjects: 3 }, none: {} };
  const values = ["mlx5_0 hca_handle=2 hca_object=2000", "ocrdma1 hca_object=3"];
  for (const writes of [v1Writes({ rdma }), v2Writes({ rdma })])
    assert.deepEqual(
      writes.map((w) => [w.controller, w.file, w.value]),
      values.map((value) => ["rdma", "rdma.max", value]),
    );
  assert.throws(
    () => v2Writes({ rdma: { "a b": { hcaHandles: 1 } } }),
    /linux.resources.rdma: found the device "a b"/,
  );
});

test("limits become version 1 writes", () => {
  const writes = v1Writes({
    memory: { limit: 100, swap: 200, swappiness: 0 },
    cpu: { quota: 5, period: 10, shares: 512, cpus: "0" },
    pids: { limit: 7 },
  });
  assert.deepEqual(
    writes.map((w) => `${w.controller} ${w.file} ${w.value}`),
    [
      "memory memory.limit_in_bytes 100",
      "memory memory.memsw.limit_in_bytes 200",
      "memory memory.swappiness 0",
      "cpu cpu.shares 512",
      "cpu cpu.cfs_period_us 10",
      "cpu cpu.cfs_quota_us 5",
      "cpuset cpuset.cpus 0",
      "pids pids.max 7",
    ],
  );
  assert.equal(v1Writes({ pids: { limit: -1 } })[0]!.value, "max");
});

test("limits become version 2 writes", () => {
  const writes = v2Writes({
    memory: { limit: 100, swap: 250, reservation: 50 },
    cpu: { quota: 5, shares: 1024 },
    unified: { "memory.high": "80" },
  });
  assert.deepEqual(
    writes.map((w) => `${w.file} ${w.value}`),
    [
      "memory.swap.max 150",
      "memory.max 100",
      "memory.low 50",
      "cpu.weight 100",
      "cpu.max 5 100000",
      "memory.high 80",
    ],
  );
  assert.deepEqual(
    v2Writes({ blockIO: { weight: 1000, weightDevice: [{ major: 8, minor: 0, weight: 10 }] } }),
    [
      {
        controller: "io",
        file: "io.bfq.weight",
        value: "1000",
        otherwise: { file: "io.weight", value: "10000" },
      },
      {
        controller: "io",
        file: "io.bfq.weight",
        value: "8:0 10",
        otherwise: { file: "io.weight", value: "8:0 1" },
      },
    ],
  );
  assert.throws(() => v2Writes({ memory: { swap: 5 } }), /without a limit/);
  assert.throws(() => v2Writes({ memory: { limit: 10, swap: 5 } }), /at least the limit/);
  assert.throws(() => v2Writes({ unified: { "../x": "1" } }), /without "\/"/);
});

test("shares convert to weights at the three fixed points", () => {
  assert.deepEqual([2, 1024, 262144, 0].map(weightOfShares), [1, 100, 10000, 0]);
});

/** Interprets a device program; supports only the instructions it uses. */
function allows(program: Uint8Array, type: "b" | "c", access: string, major: number, minor: number): boolean {
  const view = new DataView(program.buffer);
  const bits = [...access].reduce((sum, c) => sum | { m: 1, r: 2, w: 4 }[c as "m"]!, 0);
  const context = [((bits << 16) | { b: 1, c: 2 }[type]) >>> 0, major, minor];
  const r = new Array<number>(6).fill(0);
  for (let pc = 0; pc < program.length / 8; pc++) {
    const code = program[8 * pc]!;
    const dst = program[8 * pc + 1]! & 15;
    const src = program[8 * pc + 1]! >> 4;
    const off = view.getInt16(8 * pc + 2, true);
    const imm = view.getInt32(8 * pc + 4, true);
    if (code === 0x61) r[dst] = context[off / 4]!;
    else if (code === 0x54) r[dst] = r[dst]! & imm;
    else if (code === 0x74) r[dst] = r[dst]! >>> imm;
    else if (code === 0xbc) r[dst] = r[src]!;
    else if (code === 0xb7) r[dst] = imm;
    else if (code === 0x55) pc += r[dst] !== imm ? off : 0;
    else if (code === 0x5d) pc += r[dst] !== r[src] ? off : 0;
    else if (code === 0x95) return r[0] === 1;
    else assert.fail(`instruction ${code.toString(16)}`);
  }
  return assert.fail("ran off the end");
}

test("the device program: the last rule that covers the whole access decides", () => {
  const rules: DeviceRule[] = [
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
    { allow: true, type: "b", major: 8, access: "r" },
  ];
  const program = deviceProgram(rules);
  assert.equal(allows(program, "c", "rw", 1, 3), true);
  assert.equal(allows(program, "c", "rwm", 1, 3), false);
  assert.equal(allows(program, "b", "r", 8, 99), true);
  assert.equal(allows(program, "b", "w", 8, 99), false);
  assert.equal(allows(program, "c", "r", 8, 1), false);
  assert.equal(allows(deviceProgram([...rules, { allow: true }]), "b", "rwm", 9, 9), true);
  assert.equal(allows(deviceProgram([]), "c", "r", 1, 3), false);
  const defaults = deviceProgram([{ allow: false, access: "rwm" }, ...DEFAULT_DEVICE_RULES]);
  assert.equal(allows(defaults, "c", "rw", 5, 0), true);
  assert.equal(allows(defaults, "b", "m", 200, 1), true);
  assert.equal(allows(defaults, "b", "r", 200, 1), false);
});

test("device rules become version 1 lines", () => {
  assert.deepEqual(v1DeviceWrite({ allow: false, access: "rwm" }), { file: "devices.deny", value: "a" });
  assert.deepEqual(v1DeviceWrite({ allow: true, type: "c", major: 136, minor: -1, access: "rwm" }), {
    file: "devices.allow",
    value: "c 136:* rwm",
  });
});

const paths = cgroupPaths(parseLayout(HYBRID), "/x", "c");

/** A fake host with a cgroup of two processes. */
function host(): FakeSys {
  const sys = new FakeSys();
  for (const folder of cgroupFolders(paths)) sys.put(`${folder}/cgroup.procs`, "11\n10\n");
  sys.put("/sys/fs/cgroup/freezer/x/freezer.state", "THAWED\n");
  sys.onWrite = (path, content) => {
    if (path.endsWith("freezer.state")) sys.put(path, `${content}\n`);
  };
  sys.processes.set(10, []).set(11, []);
  return sys;
}

test("processes in nested cgroups are found too, and signalled while frozen", async () => {
  const sys = host().put("/sys/fs/cgroup/freezer/x/nested/cgroup.procs", "12\n");
  sys.processes.set(12, []);
  assert.deepEqual(cgroupPids(sys, paths), [10, 11, 12]);
  await signalAll(sys, paths, 15);
  assert.deepEqual(
    sys.calls.filter((c) => /^(kill|write)/.test(c)),
    [
      "write /sys/fs/cgroup/freezer/x/freezer.state FROZEN",
      "kill 10 15",
      "kill 11 15",
      "kill 12 15",
      "write /sys/fs/cgroup/freezer/x/freezer.state THAWED",
    ],
  );
});

test("SIGKILL uses cgroup.kill if present", async () => {
  const sys = host().put("/sys/fs/cgroup/unified/x/cgroup.kill", "");
  await signalAll(sys, paths, 9);
  assert.ok(sys.calls.includes("write /sys/fs/cgroup/unified/x/cgroup.kill 1"));
  assert.ok(!sys.calls.some((c) => c.startsWith("kill ")));
});

test("a cgroup that does not freeze is thawed again, and an error", async () => {
  const sys = host();
  sys.onWrite = undefined;
  sys.put("/sys/fs/cgroup/freezer/x/freezer.state", "FREEZING\n");
  assert.equal(isFrozen(sys, paths), true);
  sys.onWrite = (path) => sys.put(path, "FREEZING\n");
  await assert.rejects(setFrozen(sys, paths, true), /did not freeze within/);
  assert.ok(sys.calls.at(-1)!.endsWith("THAWED"));
});

test("removing a cgroup removes nested ones", async () => {
  const sys = host().put("/sys/fs/cgroup/cpu/x/nested/cgroup.procs", "");
  for (const folder of cgroupFolders(paths)) sys.put(`${folder}/cgroup.procs`, "");
  await removeCgroup(sys, paths);
  for (const folder of cgroupFolders(paths)) assert.equal(sys.stat(folder), undefined);
});

test("an empty cpuset inherits, missing controllers are enabled", () => {
  const sys = new FakeSys()
    .put("/sys/fs/cgroup/cpuset/cpuset.cpus", "0-3\n")
    .put("/sys/fs/cgroup/cpuset/cpuset.mems", "0\n");
  sys
    .put("/sys/fs/cgroup/unified/cgroup.controllers", "memory pids\n")
    .put("/sys/fs/cgroup/unified/cgroup.subtree_control", "pids\n");
  const facts = observeCgroups(sys, parseLayout(HYBRID), paths);
  assert.deepEqual(facts.cpusets, [{ folder: "/sys/fs/cgroup/cpuset/x", cpus: "0-3", mems: "0" }]);
  assert.deepEqual(facts.delegate, [{ folder: "/sys/fs/cgroup/unified", controllers: ["memory"] }]);
});

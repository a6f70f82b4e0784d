import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { FakeSys } from "@berth/sys";
import { changeLimits } from "./change.ts";
import { readStats } from "./stats.ts";
import { parseSubCgroups, reachableCgroup, subCgroups } from "./sub.ts";

const v1 = { path: "/x", v1: { memory: "/cg/memory/x", cpu: "/cg/cpu/x", pids: "/cg/pids/x" } };
const v2 = { path: "/x", v1: {}, unified: "/cg/x" };

function refuse(errno: string): never {
  throw new BerthError("invalid_argument", errno, { errno });
}

test("interdependent limits are written in an order that the kernel accepts", () => {
  const sys = new FakeSys();
  const limits = { limit: 30n, memsw: 50n };
  sys.put("/cg/memory/x/memory.limit_in_bytes", "30").put("/cg/memory/x/memory.memsw.limit_in_bytes", "50");
  sys.onWrite = (path, content) => {
    const next = { ...limits, [path.includes("memsw") ? "memsw" : "limit"]: BigInt(content) };
    if (next.limit > next.memsw) refuse("EINVAL");
    Object.assign(limits, next);
  };
  changeLimits(sys, false, v1, { memory: { limit: 60, swap: 80 } });
  assert.deepEqual(limits, { limit: 60n, memsw: 80n });
  changeLimits(sys, false, v1, { memory: { limit: 10, swap: 20 } });
  assert.deepEqual(limits, { limit: 10n, memsw: 20n });
  assert.throws(() => changeLimits(sys, false, v1, { memory: { limit: 90 } }), /EINVAL/);
});

test("a limit below current usage is explained", () => {
  const sys = new FakeSys();
  sys.put("/cg/memory/x/memory.limit_in_bytes", "9").put("/cg/memory/x/memory.usage_in_bytes", "7\n");
  sys.onWrite = () => refuse("EBUSY");
  assert.throws(
    () => changeLimits(sys, false, v1, { memory: { limit: 5 } }),
    /unable to set memory limit to 5 \(current usage: 7, peak usage: unknown\)/,
  );
  sys.put("/cg/x/memory.current", "100\n");
  assert.throws(
    () => changeLimits(sys, true, v2, { memory: { limit: 50, checkBeforeUpdate: true } }),
    /rejecting memory limit 50 <= usage 100/,
  );
});

test("version 2: values in the same file as the change are kept", () => {
  const sys = new FakeSys().put("/cg/x/cpu.max", "5000 100000\n").put("/cg/x/memory.max", "max\n");
  changeLimits(sys, true, v2, { cpu: { period: 50000 } });
  assert.equal(sys.readText("/cg/x/cpu.max"), "5000 50000");
  changeLimits(sys, true, v2, { cpu: { quota: -1 } });
  assert.equal(sys.readText("/cg/x/cpu.max"), "max 50000");
  assert.throws(() => changeLimits(sys, true, v2, { memory: { swap: 5 } }), /without memory limit/);
});

test("version 2: a block IO weight is written to whichever file the kernel has", () => {
  const sys = new FakeSys().put("/cg/x/io.weight", "default 100\n");
  changeLimits(sys, true, v2, { blockIO: { weight: 1000 } });
  assert.equal(sys.readText("/cg/x/io.weight"), "10000");
  sys.put("/cg/x/io.bfq.weight", "default 100\n");
  changeLimits(sys, true, v2, { blockIO: { weight: 500 } });
  assert.deepEqual([sys.readText("/cg/x/io.bfq.weight"), sys.readText("/cg/x/io.weight")], ["500", "10000"]);
});

test("sub-cgroups by controller or for all controllers", () => {
  const sys = new FakeSys();
  for (const folder of [...Object.values(v1.v1), "/cg/memory/x/sub"]) sys.put(folder, "", "folder");
  const at = (...values: string[]) => subCgroups(sys, v1, parseSubCgroups(values));
  assert.deepEqual(at("memory:/sub/").v1, { ...v1.v1, memory: "/cg/memory/x/sub" });
  assert.deepEqual(at("/").v1, v1.v1);
  assert.throws(() => at(".."), /bad sub cgroup path/);
  assert.throws(() => at("cpu:none"), /adding pid to cgroup \/cg\/cpu\/x\/none: no such file/);
  assert.throws(() => at("what:/"), /unknown controller what/);
  assert.throws(() => at("cpu:a", "cpu:b"), /specified multiple times/);
  assert.throws(() => at("cpu:a", "b"), /missing <controller>: prefix/);
});

test("version 2: the init process's cgroup replaces one that takes no processes", () => {
  const sys = new FakeSys().put("/cg/x/cgroup.subtree_control", "\n").put("/proc/7/cgroup", "0::/x/inner\n");
  assert.equal(reachableCgroup(sys, v2, "/cg", 7).unified, "/cg/x");
  sys.put("/cg/x/cgroup.subtree_control", "memory\n");
  assert.equal(reachableCgroup(sys, v2, "/cg", 7).unified, "/cg/x/inner");
});

test("statistics of both versions in runc's format", () => {
  const sys = new FakeSys()
    .put("/cg/memory/x/memory.limit_in_bytes", "9223372036854771712\n")
    .put("/cg/memory/x/memory.stat", "cache 4096\nrss 1\n")
    .put("/cg/pids/x/pids.current", "2\n")
    .put("/cg/pids/x/pids.max", "max\n");
  const v1Stats = readStats(sys, v1) as Record<string, Record<string, unknown>>;
  assert.deepEqual(v1Stats.memory!.usage, { limit: 9223372036854771712n, failcnt: 0n });
  assert.deepEqual([v1Stats.memory!.cache, v1Stats.memory!.swap], [4096n, undefined]);
  assert.deepEqual(v1Stats.pids, { current: 2n });
  sys
    .put("/cg/x/cpu.stat", "usage_usec 3\nuser_usec 2\nsystem_usec 1\nnr_periods 4\n")
    .put("/cg/x/cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n")
    .put("/cg/x/io.stat", "8:0 rbytes=1 wbytes=0 rios=2 wios=0\n");
  const v2Stats = readStats(sys, v2) as Record<string, Record<string, unknown>>;
  assert.deepEqual(v2Stats.cpu, {
    usage: { total: 3000n, kernel: 1000n, user: 2000n },
    throttling: { periods: 4n },
    psi: { some: { avg10: 1.5, avg60: 0, avg300: 0, total: 9 } },
  });
  assert.deepEqual(v2Stats.blkio!.ioServiceBytesRecursive, [
    { major: 8n, op: "Read", value: 1n },
    { major: 8n, op: "Write" },
  ]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSys } from "@berth/sys";
import { PlanBuilder } from "../plan/builder.ts";
import { planRdt, planRdtJoin } from "../plan/rdt.ts";
import { changeSchemata, checkRdt, newClass } from "./change.ts";
import { rdtGroups, removeRdt } from "./groups.ts";

function host(): FakeSys {
  const sys = new FakeSys();
  sys.put("/proc/self/mountinfo", "40 25 0:40 / /sys/fs/resctrl rw - resctrl resctrl rw\n");
  sys.put("/sys/fs/resctrl/gold/schemata", "");
  return sys;
}

test("a host without resctrl is an error only for a bundle with linux.intelRdt", () => {
  const sys = new FakeSys();
  sys.put("/proc/self/mountinfo", "");
  assert.equal(rdtGroups(sys, undefined, "c"), undefined);
  assert.throws(() => rdtGroups(sys, {}, "c"), /linux.intelRdt: this host has no resctrl/);
});

test("the container's own class is created, configured and removed; a shared one is kept", () => {
  const own = rdtGroups(host(), { l3CacheSchema: "L3:0=f", enableMonitoring: true }, "c")!;
  assert.deepEqual(own.made, ["/sys/fs/resctrl/c/mon_groups/c", "/sys/fs/resctrl/c"]);
  const shared = rdtGroups(host(), { closID: "gold", schemata: ["MB:0=20"] }, "c")!;
  assert.deepEqual([shared.folder, shared.made], ["/sys/fs/resctrl/gold", []]);
  assert.throws(() => rdtGroups(host(), { closID: "none" }, "c"), /expected an existing class/);
  const b = new PlanBuilder();
  planRdt(b, own);
  planRdtJoin(b, own);
  const { setup, attach } = b.build().sections;
  assert.deepEqual(
    setup.map((op) => [op.name, op.args[0]]),
    [
      ["mkdir", "/sys/fs/resctrl/c"],
      ["mkdir", "/sys/fs/resctrl/c/mon_groups/c"],
      ["write", "/sys/fs/resctrl/c/schemata"],
    ],
  );
  assert.deepEqual(
    attach.map((op) => op.args[0]),
    ["/sys/fs/resctrl/c/tasks", "/sys/fs/resctrl/c/mon_groups/c/tasks"],
  );
  const sys = host();
  removeRdt(sys, ["/sys/fs/resctrl/none"]);
});

test("update: schemata of an existing class", () => {
  const sys = host();
  assert.throws(() => checkRdt(sys, { memBwSchema: "MB:0=20" }), /Intel RDT\/MBA: .* is not enabled/);
  sys.put("/sys/fs/resctrl/info/MB", "", "folder");
  checkRdt(sys, { memBwSchema: "MB:0=20" });
  assert.throws(() => checkRdt(sys, { l3CacheSchema: "L3:0=f" }), /Intel RDT\/CAT/);
  changeSchemata(sys, { folder: "/sys/fs/resctrl/gold", made: [], schemata: [] }, ["MB:0=20"]);
  assert.equal(sys.readText("/sys/fs/resctrl/gold/schemata"), "MB:0=20\n");
});

test("update: a container without a class gets one, and all its threads are moved", () => {
  const sys = host();
  for (const task of ["5/task/5", "5/task/6", "9/task/9"]) sys.put(`/proc/${task}`, "", "folder");
  const moved: string[] = [];
  sys.onWrite = (path, content) => {
    if (path.endsWith("/tasks")) moved.push(content);
    // A thread that starts while others are moved.
    if (content === "6") sys.put("/proc/9/task/10", "", "folder");
  };
  const recorded: string[] = [];
  const pids = () => {
    sys.put("/sys/fs/resctrl/c/tasks", "");
    return [5, 9];
  };
  sys.put("/sys/fs/resctrl/c/schemata", "");
  newClass(sys, "c", ["L3:0=f"], pids, (groups) => recorded.push(groups.folder));
  assert.deepEqual([recorded, moved], [["/sys/fs/resctrl/c"], ["5", "6", "9", "10"]]);
  assert.equal(sys.readText("/sys/fs/resctrl/c/schemata"), "L3:0=f\n");
});

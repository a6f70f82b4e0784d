import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSys } from "@berth/sys";
import { PlanBuilder } from "../plan/builder.ts";
import { planRdt, planRdtJoin } from "../plan/rdt.ts";
import { rdtGroups, removeRdt } from "./groups.ts";

function host(): FakeSys {
  const sys = new FakeSys();
  sys.put("/proc/self/mountinfo", "40 25 0:40 / /sys/fs/resctrl rw - resctrl resctrl rw\n");
  sys.put("/sys/fs/resctrl/gold/schemata", "");
  return sys;
}

test("a host without resctrl is an error only for a bundle that wants it", () => {
  const sys = new FakeSys();
  sys.put("/proc/self/mountinfo", "");
  assert.equal(rdtGroups(sys, undefined, "c"), undefined);
  assert.throws(() => rdtGroups(sys, {}, "c"), /linux.intelRdt: this host has no resctrl/);
});

test("a class of the container's own is made, filled and removed; a shared one stays", () => {
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

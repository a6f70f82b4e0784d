import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerRecord } from "./record.ts";
import { runcState } from "./runc-state.ts";

const record: ContainerRecord = {
  version: 1,
  ociVersion: "1.2.0",
  id: "c",
  pid: 7,
  startTime: 99,
  bundle: "/b",
  rootfs: "/b/rootfs",
  created: "2026-01-01T00:00:00.000Z",
  owner: 0,
  cgroup: { path: "/x/c", v1: { memory: "/cg/memory/x/c" }, unified: "/cg/unified/x/c" },
  namespaces: ["pid", "mount", "unknown"],
};

test("runc's state has the process, its namespaces and its cgroup", () => {
  const state = runcState(record) as Record<string, Record<string, unknown>>;
  assert.deepEqual([state.init_process_pid, state.init_process_start], [7, 99]);
  assert.deepEqual(state.namespace_paths, { NEWPID: "/proc/7/ns/pid", NEWNS: "/proc/7/ns/mnt" });
  assert.deepEqual(state.cgroup_paths, { memory: "/cg/memory/x/c", "": "/cg/unified/x/c" });
  assert.deepEqual(state.config!.cgroups, { path: "/x/c", memory: 0 });
  assert.deepEqual(state.config!.labels, ["bundle=/b"]);
});

test("a systemd unit is named by its parts", () => {
  const unit = (name: string) => {
    const state = runcState({ ...record, unit: { unit: name, slice: "s.slice" } });
    return (state as { config: { cgroups: object } }).config.cgroups;
  };
  const common = { Systemd: true, parent: "s.slice", memory: 0 };
  assert.deepEqual(unit("runc-a-b.scope"), { ...common, scope_prefix: "runc", name: "a-b" });
  assert.deepEqual(unit("pod.slice"), { ...common, scope_prefix: "", name: "pod.slice" });
});

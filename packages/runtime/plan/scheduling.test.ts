import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemoryPolicy, Process } from "@berth/oci";
import { PlanBuilder } from "./builder.ts";
import { parseMask } from "./masks.ts";
import { planAffinity, planScheduling } from "./scheduling.ts";

const process: Process = { user: { uid: 0, gid: 0 }, cwd: "/" };

function only(change: Partial<Process>, policy?: MemoryPolicy) {
  const b = new PlanBuilder();
  planScheduling(b, { ...process, ...change }, policy);
  const [op, ...more] = b.build().sections.child;
  assert.equal(more.length, 0);
  return op;
}

test("a list of numbers and ranges converts to a mask of whole words", () => {
  assert.deepEqual([...parseMask("0-3,7", "f", "list")], [0x8f, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(parseMask("64", "f", "list").length, 16);
  assert.equal(parseMask("", "f", "list").length, 0);
  for (const bad of ["x", "3-1", "1-", "-1", "0-99999", "1 2"])
    assert.throws(() => parseMask(bad, "field", "list"), /field: invalid list/, bad);
});

test("struct sched_attr is encoded as in sched_setattr(2)", () => {
  const op = only({
    scheduler: {
      policy: "SCHED_DEADLINE",
      flags: ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"],
      runtime: 1,
      deadline: 2,
      period: 3,
    },
  });
  const bytes = op!.args[0] as Uint8Array;
  const view = new DataView(bytes.buffer);
  assert.deepEqual([view.getUint32(0, true), view.getUint32(4, true)], [56, 6]);
  assert.equal(view.getBigUint64(8, true), 0b101n);
  assert.deepEqual(
    [24, 32, 40].map((at) => Number(view.getBigUint64(at, true))),
    [1, 2, 3],
  );
});

test("an IO priority combines class and level", () => {
  assert.deepEqual(only({ ioPriority: { class: "IOPRIO_CLASS_IDLE", priority: 7 } })?.args, [(3 << 13) | 7]);
});

test("a memory policy has mode, flags and node mask", () => {
  const op = only({}, { mode: "MPOL_BIND", nodes: "1", flags: ["MPOL_F_STATIC_NODES"] });
  assert.equal(op!.args[0], 2 | 0x8000);
  assert.deepEqual([...(op!.args[1] as Uint8Array)], [2, 0, 0, 0, 0, 0, 0, 0]);
});

test("CPU affinity: as requested for exec, or all CPUs of the cgroup", () => {
  const plan = (affinity?: { initial?: string; final?: string }) => {
    const b = new PlanBuilder();
    planAffinity(b, affinity);
    const { setup, child } = b.build().sections;
    return [setup.length, child.length];
  };
  assert.deepEqual(plan(), [0, 1]);
  assert.deepEqual(plan({ initial: "0" }), [1, 0]);
  assert.deepEqual(plan({ initial: "0", final: "1" }), [1, 1]);
});

/** The plan parser of berth-init, under the sanitizers, with mutations of a real plan. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PlanBuilder } from "../../packages/runtime/plan/builder.ts";
import { encodePlan } from "../../packages/runtime/plan/encode.ts";
import { ROOT } from "../support/checkout.ts";

const ROUNDS = 1_000_000;

test(`${ROUNDS} mutated plans are parsed without an invalid access`, () => {
  const built = spawnSync("make", ["-s", "-C", join(ROOT, "native"), "OUT=../build", "../build/plan-fuzz"], {
    encoding: "utf8",
  });
  assert.equal(built.status, 0, built.stderr);
  const folder = mkdtempSync(join(tmpdir(), "berth-fuzz-"));
  try {
    const b = new PlanBuilder();
    b.add("setup", "", "write", ["/sys/fs/cgroup/x", new Uint8Array([1, 2, 3])]);
    b.add("setup", "", "hook", ["/bin/sh", new Uint8Array(5), new Uint8Array(0), 1000, 2, "sh", "-c", "A=1"]);
    b.add("child", "", "setgroups", [1, 2, 3]);
    b.add("child", "", "seccomp", [0, new Uint8Array(64)]);
    b.add("child", "", "exec", [2, "sh", "-c", "A=1"]);
    const seed = join(folder, "seed");
    writeFileSync(seed, encodePlan(b.build()));
    const ran = spawnSync(join(ROOT, "build/plan-fuzz"), [seed, String(ROUNDS)], {
      encoding: "utf8",
      timeout: 120_000,
    });
    assert.equal(ran.status, 0, ran.stderr);
    const good = Number(/^(\d+) of/.exec(ran.stdout)![1]);
    assert.ok(good > ROUNDS / 100 && good < ROUNDS, `mutations reach the parser's depths: ${ran.stdout}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

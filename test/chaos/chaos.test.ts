/** A short run of `make chaos` with a new seed each time; it prints the command that repeats it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { realSys } from "@berth/sys";
import { cannotRun } from "../support/daemons.ts";
import { chaos } from "./chaos.ts";

const skip = cannotRun("/bin/busybox") ?? false;

test("random commands, a killed daemon, a full disk: every answer was true, and nothing leaks", {
  skip,
}, async (t) => {
  realSys.becomeSubreaper();
  const seed = Number(process.env.BERTH_TEST_SEED ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const { findings, ...counts } = await chaos({ seed, milliseconds: 20_000 });
  assert.deepEqual(findings, [], `seed ${seed}: BERTH_TEST_SEED repeats it`);
  assert.ok(counts.succeeded > 50 && counts.kills > 0, JSON.stringify(counts));
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BerthError,
  codeOfErrno,
  FakeClock,
  isCode,
  recordStage,
  type StageEvent,
  stage,
  stageSync,
  subscribeStages,
} from "./index.ts";

test("an error of node:fs keeps errno, system call and path", () => {
  const thrown = Object.assign(new Error("ENOENT: no such file"), {
    code: "ENOENT",
    syscall: "open",
    path: "/x",
  });
  const error = BerthError.from(thrown, "config");
  assert.equal(error.code, "not_found");
  assert.deepEqual([error.stage, error.syscall, error.errno, error.path], ["config", "open", "ENOENT", "/x"]);
  assert.equal(BerthError.from(error), error);
  assert.ok(isCode(error, "not_found"));
  assert.equal(BerthError.from("text").code, "internal");
  assert.equal(codeOfErrno("ENOSPC"), "resource_exhausted");
});

test("without a subscriber, stages only run the work", async () => {
  assert.equal(await stage("a", {}, async () => 1), 1);
  assert.equal(
    stageSync("a", {}, () => 2),
    2,
  );
});

test("stages form a tree, end when they fail, and take in what another process timed", async () => {
  const events: StageEvent[] = [];
  const stop = subscribeStages((event) => events.push(event));
  try {
    await assert.rejects(
      stage("outer", { id: "c" }, async () => {
        stageSync("inner", {}, () => undefined);
        recordStage("remote", {}, 1, 2);
        throw new Error("broken");
      }),
      /broken/,
    );
  } finally {
    stop();
  }
  const ends = events.filter((e) => e.kind === "end").map((e) => e.stage);
  assert.deepEqual(
    ends.map((s) => [s.name, s.parent?.name, s.error]),
    [
      ["inner", "outer", undefined],
      ["remote", "outer", undefined],
      ["outer", undefined, "broken"],
    ],
  );
  assert.equal(ends[1]!.end! - ends[1]!.begin, 1);
});

test("a fake clock wakes sleepers in order, and an abort ends a sleep", async () => {
  const clock = new FakeClock(0);
  const woken: string[] = [];
  const late = clock.sleep(20).then(() => woken.push("late"));
  const early = clock.sleep(10).then(() => woken.push("early"));
  clock.advance(30);
  await Promise.all([late, early]);
  assert.deepEqual(woken, ["early", "late"]);
  const abort = new AbortController();
  const sleeping = clock.sleep(10, abort.signal);
  abort.abort(new Error("enough"));
  await assert.rejects(sleeping, /enough/);
});

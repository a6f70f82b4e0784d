import assert from "node:assert/strict";
import test from "node:test";
import { backOff, intentOf, restartsNow } from "./restart-rules.ts";

test("labels decide which rules apply", () => {
  assert.equal(intentOf({}), undefined);
  assert.equal(intentOf({ "berth/restart-policy": "no" }), undefined);
  assert.equal(intentOf({ "berth/restart-policy": "nonsense" }), undefined);
  assert.deepEqual(intentOf({ "berth/restart-policy": "on-failure:3" }), {
    rules: "docker",
    policy: { name: "on-failure", max: 3 },
    desired: "running",
  });
  assert.deepEqual(intentOf({ "containerd.io/restart.status": "running" }), {
    rules: "containerd",
    policy: { name: "always", max: 0 },
    desired: "running",
  });
  assert.equal(intentOf({ "containerd.io/restart.status": "paused" }), undefined);
  assert.equal(intentOf({ "containerd.io/restart.policy": "always" }), undefined);
});

test("which containers are restarted: the table of both rules", () => {
  const again = (policy: string, exitStatus: number, byHand: boolean, count = 0) =>
    restartsNow(intentOf({ "berth/restart-policy": policy })!, { exitStatus, byHand, count });
  assert.deepEqual(
    [again("always", 0, false), again("always", 1, true)],
    [true, true],
    "always; a stop by hand is what the monitor keeps in mind until the daemon starts anew",
  );
  assert.deepEqual([again("unless-stopped", 0, false), again("unless-stopped", 0, true)], [true, false]);
  assert.deepEqual([again("on-failure", 0, false), again("on-failure", 1, false)], [false, true]);
  assert.equal(again("on-failure", 1, true), false);
  assert.deepEqual([again("on-failure:2", 1, false, 1), again("on-failure:2", 1, false, 2)], [true, false]);

  const theirs = (labels: Record<string, string>, byHand: boolean) =>
    restartsNow(intentOf({ "containerd.io/restart.status": "running", ...labels })!, {
      exitStatus: 1,
      byHand,
      count: 0,
    });
  assert.equal(theirs({}, true), true);
  assert.equal(theirs({ "containerd.io/restart.policy": "unless-stopped" }, true), false);
  assert.equal(theirs({ "containerd.io/restart.policy": "on-failure" }, true), true);
  assert.equal(theirs({ "containerd.io/restart.status": "stopped" }, false), false);
});

test("the back-off doubles up to a minute, and resets after ten good seconds", () => {
  const delays = [0];
  for (let i = 0; i < 12; i++) delays.push(backOff(delays.at(-1)!, 50));
  delays.shift();
  assert.deepEqual(delays.slice(0, 5), [100, 200, 400, 800, 1600]);
  assert.deepEqual(delays.slice(-2), [60_000, 60_000]);
  assert.equal(backOff(60_000, 10_000), 100);
  assert.equal(backOff(60_000, 9_999), 60_000);
});

import assert from "node:assert/strict";
import test from "node:test";
import { parseDuration } from "./duration.ts";

test("durations in milliseconds", () => {
  const spans = ["5s", "100ms", "1m30s", "1.5h", "2d", "0", "0s", "250us"];
  assert.deepEqual(spans.map(parseDuration), [5000, 100, 90_000, 5_400_000, 172_800_000, 0, 0, 0.25]);
  for (const wrong of ["", "5", "s", "-1s", "1s ", "1 s", "1w"])
    assert.equal(parseDuration(wrong), undefined);
});

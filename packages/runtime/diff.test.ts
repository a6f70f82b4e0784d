import assert from "node:assert/strict";
import { test } from "node:test";
import { diffLines } from "./diff.ts";

test("lines on one side only are printed, common lines are not", () => {
  assert.equal(diffLines(["a", "b", "c"], ["a", "x", "c", "d"]), "- b\n+ x\n+ d\n");
  assert.equal(diffLines([], ["a"]), "+ a\n");
  assert.equal(diffLines(["a"], []), "- a\n");
  assert.equal(diffLines(["a"], ["a"]), "no difference\n");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { diffLines } from "./diff.ts";

test("lines of one side alone are told, common ones are not", () => {
  assert.equal(diffLines(["a", "b", "c"], ["a", "x", "c", "d"]), "- b\n+ x\n+ d\n");
  assert.equal(diffLines([], ["a"]), "+ a\n");
  assert.equal(diffLines(["a"], []), "- a\n");
  assert.equal(diffLines(["a"], ["a"]), "no difference\n");
});

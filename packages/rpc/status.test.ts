import assert from "node:assert/strict";
import test from "node:test";
import { codeOfStatus, statusNumber } from "./status.ts";

test("status numbers are those of google.rpc.Code", () => {
  assert.equal(statusNumber("unauthenticated"), 16);
  assert.equal(codeOfStatus(9), "failed_precondition");
  assert.equal(codeOfStatus(2), "internal");
});

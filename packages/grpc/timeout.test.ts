import assert from "node:assert/strict";
import test from "node:test";
import { formatTimeout, parseTimeout } from "./timeout.ts";

test("grpc-timeout in all units", () => {
  assert.equal(parseTimeout(undefined), undefined);
  assert.equal(parseTimeout("2H"), 7_200_000);
  assert.equal(parseTimeout("3M"), 180_000);
  assert.equal(parseTimeout("4S"), 4000);
  assert.equal(parseTimeout("5m"), 5);
  assert.equal(parseTimeout("99999999H"), 2 ** 31 - 1);
  assert.throws(() => parseTimeout("5"), /grpc-timeout/);
});

test("formatted timeouts parse", () => {
  assert.equal(formatTimeout(1.2), "2m");
  assert.equal(parseTimeout(formatTimeout(1e9)), 1e9);
});

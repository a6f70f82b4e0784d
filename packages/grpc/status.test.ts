import assert from "node:assert/strict";
import test from "node:test";
import { BerthError } from "@berth/base";
import { errorOf, percentDecode, percentEncode, statusOf } from "./status.ts";

test("a BerthError survives the wire with its facts", () => {
  const sent = new BerthError("permission_denied", "mount /a: „nein“ 100%", {
    stage: "mount",
    syscall: "mount",
    errno: "EPERM",
    path: "/a",
    hint: "run as root",
  });
  const got = errorOf({ ...statusOf(sent, true) });
  assert.equal(got?.code, "permission_denied");
  assert.equal(got?.message, sent.message);
  assert.deepEqual(
    [got?.stage, got?.syscall, got?.errno, got?.path, got?.hint],
    ["mount", "mount", "EPERM", "/a", "run as root"],
  );
});

test("a client that does not ask for details gets none: Go clients choke on unknown types", () => {
  const sent = new BerthError("not_found", "no such thing", { path: "/a" });
  assert.deepEqual(statusOf(sent, false), { "grpc-status": "5", "grpc-message": "no such thing" });
});

test("details of other types are ignored", () => {
  const got = errorOf({ "grpc-status": "5", "grpc-message": "gone", "grpc-status-details-bin": "/////w" });
  assert.equal(got?.code, "not_found");
  assert.equal(got?.message, "gone");
});

test("status 0 is no error", () => {
  assert.equal(errorOf({ "grpc-status": "0" }), undefined);
});

test("messages are percent-encoded as gRPC requires", () => {
  assert.equal(percentEncode("a b"), "a b");
  assert.equal(percentEncode("50%\n"), "50%25%0A");
  assert.equal(percentDecode("50%25%0A%zz"), "50%\n%zz");
  assert.equal(percentDecode(percentEncode("größe €")), "größe €");
});

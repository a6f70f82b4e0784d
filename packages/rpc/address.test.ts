import assert from "node:assert/strict";
import test from "node:test";
import { shownName, socketName } from "./address.ts";

test("addresses in all the forms that containerd and its shims use", () => {
  assert.equal(socketName("unix:///run/a.sock"), "/run/a.sock");
  assert.equal(socketName("/run/a.sock"), "/run/a.sock");
  assert.equal(socketName("@shim"), "\0shim");
  assert.equal(socketName("\0shim"), "\0shim");
  assert.equal(socketName("unix://@shim"), "\0shim");
  assert.equal(socketName("/containerd-shim/x.sock", "abstract"), "\0/containerd-shim/x.sock");
  assert.equal(socketName("unix:///run/a.sock", "abstract"), "/run/a.sock");
  assert.equal(shownName("\0shim"), "@shim");
});

test("invalid addresses are refused, naming the expected form", () => {
  for (const address of ["", "unix://", "@", "relative.sock", "unix://relative", "tcp://1.2.3.4:5", "/a\0b"])
    assert.throws(() => socketName(address), { code: "invalid_argument" }, JSON.stringify(address));
  socketName(`/${"a".repeat(106)}`);
  assert.throws(() => socketName(`/${"a".repeat(107)}`), /108 bytes long, at most 107/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { bindAttributes, parseMountOptions } from "./mount-options.ts";

const RDONLY = 0x1;
const RESTRICTIONS = 0x1 | 0x2 | 0x4 | 0x8;
const ATIME = 0x70;
const NODIRATIME = 0x80;
const NOSYMFOLLOW = 0x200000;

const of = (words: string, userNamespace = false) =>
  bindAttributes(parseMountOptions(words.split(","), "here"), userNamespace);

test("a bind mount without attribute options keeps its source's attributes", () => {
  assert.deepEqual(of("bind,rprivate"), [0, 0]);
});

test("with any attribute option it has exactly the named attributes", () => {
  assert.deepEqual(of("bind,ro"), [RDONLY, (RESTRICTIONS & ~RDONLY) | NOSYMFOLLOW]);
  assert.deepEqual(of("bind,dev"), [0, RESTRICTIONS | NOSYMFOLLOW]);
});

test("access time mode is kept unless an option sets it", () => {
  assert.equal(of("bind,rw")[1] & (ATIME | NODIRATIME), 0);
  assert.equal(of("bind,atime")[1] & (ATIME | NODIRATIME), 0);
  assert.deepEqual(of("bind,relatime"), [0, RESTRICTIONS | NOSYMFOLLOW | ATIME | NODIRATIME]);
  const [set, clear] = of("bind,nodiratime,noatime");
  assert.equal(set, NODIRATIME | 0x10);
  // The kernel requires the whole atime field to be cleared when it is set.
  assert.equal(clear & (ATIME | NODIRATIME), ATIME);
});

test("in a user namespace the source's restrictions are kept unless named", () => {
  assert.deepEqual(of("bind,dev", true), [0, 0x4 | NOSYMFOLLOW]);
  assert.deepEqual(of("bind,ro", true), [RDONLY, NOSYMFOLLOW]);
});

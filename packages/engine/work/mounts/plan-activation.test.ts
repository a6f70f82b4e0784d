import assert from "node:assert/strict";
import test from "node:test";
import { types } from "@berth/api";
import { create } from "@bufbuild/protobuf";
import { needsActivation, planActivation } from "./plan-activation.ts";

const mount = (type: string, ...options: string[]) =>
  create(types.MountSchema, { type, source: "/x", options });
const plan = (mounts: types.Mount[], whole = false) => {
  const { made, bind } = planActivation(mounts, whole);
  return [made, bind];
};

test("the daemon makes what later mounts refer to, loop devices, and all on request", () => {
  const overlay = mount("format/overlay");
  assert.deepEqual(plan([mount("bind"), mount("bind"), overlay]), [2, false]);
  assert.deepEqual(plan([mount("bind"), overlay, mount("format/mkdir/bind")]), [2, false]);
  assert.deepEqual(plan([mount("mkdir/bind")]), [0, false], "nothing but its folder");
  assert.deepEqual(plan([mount("loop"), mount("format/ext4")]), [1, false]);
  assert.deepEqual(plan([mount("loop")]), [1, false]);
  assert.deepEqual(plan([mount("bind"), mount("bind")], true), [2, true]);
  assert.deepEqual(plan([mount("ext4", "loop"), overlay]), [1, false]);
  assert.throws(() => plan([mount("bind"), mount("ext4", "loop")]), /found none that has to be activated/);
});

test("unknown types, transforms and options are refused by name", () => {
  const refusals: [types.Mount, RegExp][] = [
    [mount("mkfs/loop"), /mounts\[0\].type: found "mkfs\/" in "mkfs\/loop", expected format\/ or mkdir\//],
    [mount("fuse.sshfs"), /mounts\[0\].type: found "fuse.sshfs"/],
    [
      mount("bind", "X-containerd.mkdir.path=/x"),
      /mounts\[0\].options\[0\]: found "X-containerd.mkdir.path=\/x"/,
    ],
    [mount("mkdir/bind", "rw", "X-containerd.dmverity=1"), /options\[1\]: found "X-containerd.dmverity=1"/],
    [mount("bind\0"), /mounts\[0\].type: found a NUL character/],
    [mount("bind", "ro\0"), /mounts\[0\].options: found a NUL character/],
    [mount("bind", "uidmap=0:1:2"), /options\[0\]: found "uidmap=0:1:2", expected no mapping of owners/],
  ];
  for (const [found, why] of refusals) assert.throws(() => plan([found], true), why);
  assert.throws(() => plan([mount("loop")], true), /found a loop device as the last mount/);
  assert.throws(() => plan(Array(256).fill(mount("bind")), true), /found 256, expected at most 255/);
});

test("a snapshot's ordinary mounts need no activation", () => {
  assert.equal(needsActivation([mount("overlay", "lowerdir=/a:/b")]), false);
  assert.equal(needsActivation([mount("bind"), mount("ext4", "ro", "loop")]), false);
  for (const each of [mount("format/bind"), mount("loop"), mount("x", "X-y=z")])
    assert.equal(needsActivation([mount("bind"), each]), true);
});

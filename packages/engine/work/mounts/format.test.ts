import assert from "node:assert/strict";
import test from "node:test";
import { types } from "@berth/api";
import { create } from "@bufbuild/protobuf";
import { formatMount } from "./format.ts";

const active = [0, 1, 2].map((n) =>
  create(types.ActiveMountSchema, {
    mount: { type: "bind", source: `/source${n}`, target: `/target${n}` },
    mountPoint: `/points/${n}`,
  }),
);
const mount = (...options: string[]) =>
  create(types.MountSchema, { type: "overlay", source: "{{source 1}}", target: "{{ target 2 }}/x", options });

test("templates name the source, target and mount point of earlier mounts, and the folders of an overlay", () => {
  const { source, target, options } = formatMount(
    mount(
      "lowerdir={{ overlay 0 2 }}",
      "{{ mount 0 }}:{{mount 1}}",
      "up={{ overlay 2 0 }}",
      "one={{ overlay 1 1 }}",
      "ro",
    ),
    active,
    "mounts[3]",
  );
  assert.deepEqual([source, target], ["/source1", "/target2/x"]);
  assert.deepEqual(options, [
    "lowerdir=/points/0:/points/1:/points/2",
    "/points/0:/points/1",
    "up=/points/2:/points/1:/points/0",
    "one=/points/1",
    "ro",
  ]);
});

test("what a template cannot mean is refused by its field", () => {
  const refusals: [string, RegExp][] = [
    ["{{ mount 3 }}", /mounts\[3\].options\[0\]: found index 3, expected one of the 3 mounts before it/],
    ["{{ overlay 0 }}", /options\[0\]: found "overlay 0", expected overlay and 2 indexes/],
    ["{{ mount -1 }}", /found "mount -1", expected mount and 1 index/],
    ["{{ printf 1 }}", /found the function "printf", expected source, target, mount or overlay/],
    ["{{}}", /found the function ""/],
  ];
  for (const [option, why] of refusals)
    assert.throws(() => formatMount(mount(option), active, "mounts[3]"), why);
});

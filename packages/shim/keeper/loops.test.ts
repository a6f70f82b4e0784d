import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSys } from "@berth/sys";
import { withLoops } from "./loops.ts";

const bind = { type: "bind", source: "/b", options: ["rbind"] };

test("files with the option loop are mounted from devices, which are held until then", async () => {
  const sys = new FakeSys();
  sys.put("/disk", "x");
  const mounts = [bind, { type: "ext4", source: "/disk", options: ["loop", "ro", "noload"] }];
  await withLoops(sys, mounts, async (given) => {
    assert.deepEqual(given, [bind, { type: "ext4", source: "/dev/loop0", options: ["ro", "noload"] }]);
    assert.equal(sys.fds.size, 1);
  });
  assert.equal(sys.fds.size, 0);
  assert.ok(sys.calls.includes("loop /disk ro"));
  const missing = [mounts[1]!, { type: "ext4", source: "/none", options: ["loop"] }];
  await assert.rejects(
    withLoops(sys, missing, async () => assert.fail()),
    { code: "not_found" },
  );
  assert.equal(sys.fds.size, 0, "also if a later one fails");
});

test("mounts without loops are passed on as they are", async () => {
  const mounts = [bind];
  await withLoops(new FakeSys(), mounts, async (given) => assert.equal(given, mounts));
});

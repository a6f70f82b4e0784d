/** A low limit on open files: reported at startup, and still enough for some containers. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realSys } from "@berth/sys";
import { Lane } from "../crash/lane.ts";
import { makeBundle } from "../support/bundles.ts";
import { BIN } from "../support/checkout.ts";
import { cannotRun } from "../support/daemons.ts";

const skip = cannotRun("/bin/busybox") ?? false;
realSys.becomeSubreaper();

/** Whether this process may raise limits: then a low one does not last. */
const mayRaise = () =>
  spawnSync("/bin/sh", ["-c", "ulimit -n 128; ulimit -n 256"], { stdio: "ignore" }).status === 0;

test("a daemon with 128 open files logs it, and runs containers", { skip }, async (t) => {
  if (mayRaise()) return t.skip("limits can be raised here");
  const on = new Lane(`files-${process.pid}`);
  t.after(() => on.close());
  on.openFiles = 128;
  await on.up();
  assert.match(on.log, /the limit on open files is 128 \(ulimit -n\)/);
  await on.load();
  for (let n = 0; n < 8; n++) await on.must("run", "-d", "--name", `c${n}`, on.image, "sleep", "1000");
  assert.equal(await on.must("exec", "c3", "echo", "added"), "added");
  assert.ok(readdirSync(`/proc/${on.pid}/fd`).length < 110);
  await on.down();
  await on.up();
  await on.must("rm", "-f", ...Array.from({ length: 8 }, (_, n) => `c${n}`));
  await on.down();
  on.openFiles = 64;
  await assert.rejects(on.up(), /limit on open files is 64 \(ulimit -n\), at least 96 are needed/);
});

test("berth-runc runs a bundle with 64 open files, and with few to spare", { skip }, (t) => {
  const bundle = makeBundle(t);
  bundle.configure((spec) => {
    // Without the right to raise its own limit, it cannot raise the container's.
    spec.process!.rlimits = [];
    spec.process!.args = ["sh", "-c", "echo ran; [ -e /proc/self/fd/3 ] && echo handed"];
  });
  for (const [limit, ...more] of [["64"], ["40"], ["64", "--preserve-fds", "1"]]) {
    const script = `exec 3</dev/null; ulimit -n ${limit} && exec "$0" --root "$1" run ${more.join(" ")} "$2"`;
    const program = join(BIN, "berth-runc");
    const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", script, program, bundle.root, bundle.id], {
      cwd: bundle.folder,
      encoding: "utf8",
      timeout: 20_000,
      stdio: ["ignore", "pipe", "pipe"],
    });
    assert.equal(status, more.length > 0 ? 0 : 1, `${limit}: ${stderr}${stdout}`);
    assert.equal(stdout, more.length > 0 ? "ran\nhanded\n" : "ran\n");
  }
});

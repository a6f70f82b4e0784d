/** checkpoint and restore with the machine's CRIU. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "../support/bundles.ts";
import { skipWithoutCriu as skip } from "../support/criu.ts";
import { until } from "../support/until.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

const status = (b: Bundle) => JSON.parse(b.runc("state", b.id).stdout).status;

/** A container that counts in /tmp/count of its root file system. */
function counting(b: Bundle): void {
  b.configure((s) => {
    s.root!.readonly = false;
    s.process!.args = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done"];
  });
  assert.equal(b.detached("run", "-d", b.id), 0);
}
const count = (b: Bundle) => {
  const path = join(b.rootfs, "tmp/count");
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
};

test("a restored container continues where it was, and is a container like any other", {
  skip,
}, async (t) => {
  const b = makeBundle(t);
  counting(b);
  await until("a count", () => count(b) >= 5);
  const dumped = b.runc("checkpoint", "--image-path", "image", b.id);
  assert.equal(dumped.status, 0, dumped.stderr);
  assert.match(b.runc("state", b.id).stderr, /container does not exist/);
  const stopped = count(b);
  assert.ok(existsSync(join(b.folder, "image/inventory.img")));
  // Twice: a restored container can be dumped and restored again.
  for (let turn = 0; turn < 2; turn++) {
    const pidFile = join(b.folder, "pid");
    assert.equal(b.detached("restore", "-d", "--image-path", "image", "--pid-file", pidFile, b.id), 0);
    const state = JSON.parse(b.runc("state", b.id).stdout);
    assert.deepEqual([state.status, state.pid], ["running", Number(readFileSync(pidFile, "utf8"))]);
    await until("more counts", () => count(b) > stopped + 3 * (turn + 1));
    assert.equal(b.runc("exec", b.id, "cat", "/proc/1/comm").stdout, "sh\n");
    assert.match(b.runc("ps", b.id).stdout, /while true/);
    assert.equal(b.runc("pause", b.id).status, 0);
    assert.equal(status(b), "paused");
    assert.equal(b.runc("resume", b.id).status, 0);
    if (turn === 0) assert.equal(b.runc("checkpoint", "--image-path", "image", b.id).status, 0);
  }
  assert.ok(count(b) > stopped, "it did not begin anew");
  assert.match(b.runc("delete", b.id).stderr, /not stopped: running/);
  assert.equal(b.runc("delete", "--force", b.id).status, 0);
});

test("--leave-running dumps and leaves the container running", { skip }, async (t) => {
  const b = makeBundle(t);
  counting(b);
  await until("a count", () => count(b) >= 2);
  const result = b.runc(
    "checkpoint",
    "--leave-running",
    "--image-path",
    "image",
    "--work-path",
    "work",
    b.id,
  );
  assert.equal(result.status, 0, result.stderr);
  const at = count(b);
  assert.equal(status(b), "running");
  await until("more counts", () => count(b) > at);
  assert.ok(existsSync(join(b.folder, "work/dump.log")));
  assert.ok(!existsSync(join(b.folder, "image/dump.log")));
});

test("in the foreground, restore connects our pipes and returns the exit code", { skip }, async (t) => {
  const b = makeBundle(t);
  mkdirSync(join(b.folder, "bound/inner"), { recursive: true });
  mkdirSync(join(b.rootfs, "real"));
  symlinkSync("/real", join(b.rootfs, "link"));
  b.configure((s) => {
    s.process!.args = [
      "sh",
      "-c",
      "echo ready > /link/ready; read line; echo got $line; cat /link/name; exit 7",
    ];
    s.mounts!.push({ destination: "/link", type: "bind", source: "bound", options: ["rbind"] });
    s.linux!.namespaces!.push({ type: "cgroup" });
  });
  writeFileSync(join(b.folder, "bound/name"), "bound\n");
  // A pipe for each stream, held by a process that outlives the runtime.
  const holder = spawnSync(
    "sh",
    [
      "-c",
      `sleep 20 | ${BERTH_RUNC} --root ${b.root} run -d ${b.id} 2>&1 | cat >/dev/null &
       while [ ! -e bound/ready ]; do sleep 0.05; done
       ${BERTH_RUNC} --root ${b.root} checkpoint --image-path image ${b.id}`,
    ],
    { cwd: b.folder, encoding: "utf8", timeout: 20_000, stdio: ["ignore", "pipe", "pipe"] },
  );
  assert.equal(holder.status, 0, holder.stderr);
  // Pipes again: node would pass sockets.
  const restored = spawnSync(
    "sh",
    [
      "-c",
      `{ echo hello | ${BERTH_RUNC} --root ${b.root} restore --image-path image ${b.id}; echo exit $?; } | cat`,
    ],
    { cwd: b.folder, encoding: "utf8", timeout: 20_000 },
  );
  assert.equal(restored.stdout, "got hello\nbound\nexit 7\n", restored.stderr);
  assert.match(b.runc("state", b.id).stderr, /container does not exist/);
});

test("a terminal is restored in the foreground, and its program sees it", { skip }, async (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.root!.readonly = false;
    s.process!.terminal = true;
    s.process!.args = ["sh", "-c", "touch /tmp/ready; read line; tty; stty size; echo got $line; exit 5"];
  });
  const inTerminal = (command: string, input: string) =>
    spawnSync("script", ["-qec", command, "/dev/null"], {
      cwd: b.folder,
      encoding: "utf8",
      input,
      timeout: 20_000,
    });
  const dumped = inTerminal(
    `${BERTH_RUNC} --root ${b.root} run ${b.id} & while [ ! -e rootfs/tmp/ready ]; do sleep 0.05; done; ${BERTH_RUNC} --root ${b.root} checkpoint --image-path image ${b.id} || cat image/dump.log`,
    "",
  );
  assert.equal(dumped.status, 0, dumped.stdout);
  const restored = inTerminal(
    `stty rows 33 cols 99; ${BERTH_RUNC} --root ${b.root} restore --image-path image ${b.id}`,
    "typed\n",
  );
  assert.match(restored.stdout, /\/dev\/(pts\/0|console)\r\n33 99\r\ngot typed\r\n/);
  assert.equal(restored.status, 5);
});

test("a failed dump or restore is reported with CRIU's message, and leaves nothing", {
  skip,
}, async (t) => {
  const b = makeBundle(t);
  assert.match(b.runc("checkpoint", b.id).stderr, /container does not exist/);
  const missing = b.runc("restore", "--image-path", "nowhere", b.id);
  assert.match(missing.stderr, /no checkpoint in .*nowhere: inventory.img is missing/);
  b.args("sleep", "100");
  assert.equal(b.detached("create", b.id), 0);
  assert.match(b.runc("checkpoint", b.id).stderr, /Container cannot be checkpointed in created state/);
  assert.equal(b.runc("start", b.id).status, 0);
  assert.match(
    b.runc("checkpoint", "--parent-path", "/x", b.id).stderr,
    /--parent-path: found \/x, expected a path relative/,
  );
  assert.match(b.runc("checkpoint", "--parent-path", "x", b.id).stderr, /--parent-path: found no folder/);
  assert.match(
    b.runc("checkpoint", "--manage-cgroups-mode", "x", b.id).stderr,
    /expected ignore, soft, full, strict/,
  );
  assert.match(b.runc("restore", "--no-pivot", b.id).stderr, /--no-pivot: criu changes the root/);
  const dumped = b.runc("checkpoint", "--image-path", "image", b.id);
  assert.equal(dumped.status, 0, dumped.stderr);
  const path = join(b.folder, "image/core-1.img");
  writeFileSync(path, readFileSync(path).subarray(0, 40));
  const broken = b.runc("restore", "-d", "--image-path", "image", b.id);
  assert.equal(broken.status, 1);
  assert.match(broken.stderr, /criu failed to restore container .*: Error .*/);
  assert.match(broken.stderr, /read \S*image\/restore.log/);
  assert.equal(existsSync(join(b.root, b.id)), false);
});

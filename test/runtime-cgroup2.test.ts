/** A host whose only cgroups are of version 2: a mount namespace in which the unified hierarchy is all there is. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "./runtime-fixture.ts";

const UNIFIED_ONLY = `
for m in $(awk '$5 ~ "^/sys/fs/cgroup" { print $5 }' /proc/self/mountinfo | sort -r); do umount -l "$m"; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$@"`;

let beforehand: string[] = [];
before(() => {
  beforehand = traces();
});
after(() => assert.deepEqual(traces(), beforehand, "something was left behind"));

const inside = (b: Bundle, args: readonly string[]) => [
  ...["-m", "--propagation", "private", "sh", "-euc", UNIFIED_ONLY, "sh"],
  ...[BERTH_RUNC, "--root", b.root, ...args],
];

/** Runs berth-runc where version 2 is all it sees. */
function runc(b: Bundle, ...args: string[]) {
  const options = { cwd: b.folder, timeout: 20_000, encoding: "utf8" } as const;
  return spawnSync("unshare", inside(b, args), { ...options, stdio: ["ignore", "pipe", "pipe"] });
}

test("a container is born in its cgroup, and leaves none behind", (t) => {
  const b = makeBundle(t);
  b.args("cat", "/proc/self/cgroup");
  const ran = runc(b, "run", b.id);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, new RegExp(`^0::/${b.id}$`, "m"));
});

test("device rules are a program that the kernel takes", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = [
      "sh",
      "-c",
      "head -c 1 /dev/zero >/dev/null && echo zero; (: </dev/refused) 2>&1; (: </dev/granted) 2>&1",
    ];
    s.linux!.devices = [
      { path: "/dev/refused", type: "c", major: 240, minor: 0, fileMode: 0o666 },
      { path: "/dev/granted", type: "c", major: 240, minor: 1, fileMode: 0o666 },
    ];
    s.linux!.resources = {
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 240, minor: 1, access: "r" },
      ],
    };
  });
  const ran = runc(b, "run", b.id);
  assert.match(ran.stdout, /^zero$/m, ran.stderr);
  assert.match(ran.stdout, /refused: Operation not permitted/);
  // No driver is behind it, which is a different answer from the cgroup's.
  assert.match(ran.stdout, /granted: No such device/);
});

test("an added process is in the same cgroup; pause, kill and delete reach both", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  const started = spawnSync("unshare", inside(b, ["run", "-d", b.id]), { cwd: b.folder, stdio: "ignore" });
  assert.equal(started.status, 0);
  assert.match(runc(b, "exec", b.id, "cat", "/proc/self/cgroup").stdout, new RegExp(`^0::/${b.id}$`, "m"));
  assert.equal(runc(b, "pause", b.id).status, 0);
  assert.match(runc(b, "state", b.id).stdout, /"status": "paused"/);
  assert.equal(runc(b, "resume", b.id).status, 0);
  assert.equal(runc(b, "delete", "-f", b.id).status, 0);
  assert.equal(existsSync(`/sys/fs/cgroup/unified/${b.id}`), false);
});

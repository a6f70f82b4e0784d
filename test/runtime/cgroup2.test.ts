/** A host with cgroup version 2 only: a mount namespace with just the unified hierarchy. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { realSys } from "@berth/sys";
import { launch } from "../../packages/runtime/launch/launch.ts";
import { PlanBuilder } from "../../packages/runtime/plan/builder.ts";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "../support/bundles.ts";

const UNIFIED_ONLY = `
for m in $(awk '$5 ~ "^/sys/fs/cgroup" { print $5 }' /proc/self/mountinfo | sort -r); do umount -l "$m"; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$@"`;

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

const inside = (b: Bundle, args: readonly string[]) => [
  ...["-m", "--propagation", "private", "sh", "-euc", UNIFIED_ONLY, "sh"],
  ...[BERTH_RUNC, "--root", b.root, ...args],
];

/** Runs berth-runc where it only sees version 2. */
function runc(b: Bundle, ...args: string[]) {
  const options = { cwd: b.folder, timeout: 20_000, encoding: "utf8" } as const;
  return spawnSync("unshare", inside(b, args), { ...options, stdio: ["ignore", "pipe", "pipe"] });
}

test("a container is born in its cgroup, and leaves no cgroup behind", (t) => {
  const b = makeBundle(t);
  b.args("cat", "/proc/self/cgroup");
  const ran = runc(b, "run", b.id);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, new RegExp(`^0::/${b.id}$`, "m"));
});

test("device rules become a program that the kernel accepts", (t) => {
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
  // No driver is behind it, which is a different error from the cgroup's.
  assert.match(ran.stdout, /granted: No such device/);
});

test("an exec'd process is in the same cgroup; pause, kill and delete reach both", (t) => {
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

const DENY = { allow: false, access: "rwm" };
const node = (minor: number) => ({ allow: true, type: "c" as const, major: 240, minor, access: "r" });

test("update replaces the device rules of a running container, and keeps them when they are set again", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = ["sleep", "100"];
    s.linux!.devices = [0, 1].map((minor) => ({
      path: `/dev/node${minor}`,
      type: "c",
      major: 240,
      minor,
      fileMode: 0o666,
    }));
    s.linux!.resources = { devices: [DENY, node(0)] };
  });
  const started = spawnSync("unshare", inside(b, ["run", "-d", b.id]), { cwd: b.folder, stdio: "ignore" });
  assert.equal(started.status, 0);
  const look = () =>
    runc(b, "exec", b.id, "sh", "-c", "for i in 0 1; do (: </dev/node$i) 2>&1; done; : </dev/null").stdout;
  const [refused, granted] = ["Operation not permitted", "No such device"];
  assert.match(look(), new RegExp(`node0: ${granted}[^]*node1: ${refused}`));
  const update = (resources: object) => {
    writeFileSync(join(b.folder, "resources.json"), JSON.stringify(resources));
    const updated = runc(b, "update", "-r", "resources.json", b.id);
    assert.equal(updated.status, 0, updated.stderr);
  };
  update({ devices: [DENY, node(1)] });
  // If the old program were still attached, both would be refused.
  assert.match(look(), new RegExp(`node0: ${refused}[^]*node1: ${granted}`));
  update({ devices: [DENY, node(1)] });
  update({ devices: [DENY, node(0)] });
  assert.match(look(), new RegExp(`node0: ${granted}[^]*node1: ${refused}`));
  assert.equal(runc(b, "delete", "-f", b.id).status, 0);
});

test("of two cgroup files, the existing one is written", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-bundle-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [first, second] = [join(folder, "io.bfq.weight"), join(folder, "io.weight")];
  const run = async () => {
    const b = new PlanBuilder();
    b.child = false;
    const bytes = (text: string) => new TextEncoder().encode(text);
    b.add("setup", "write a weight", "write_first", [first, bytes("100"), second, bytes("910")]);
    const launched = await launch(realSys, {
      plan: b.build(),
      name: "test",
      stdio: [0, 1, 2],
      inherited: [],
    });
    await launched.exit();
  };
  await assert.rejects(run, /write_first: ENOENT/);
  writeFileSync(second, "");
  await run();
  assert.equal(readFileSync(second, "utf8"), "910");
  writeFileSync(first, "");
  writeFileSync(second, "");
  await run();
  assert.deepEqual([readFileSync(first, "utf8"), readFileSync(second, "utf8")], ["100", ""]);
});

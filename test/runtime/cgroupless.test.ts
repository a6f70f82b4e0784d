/** Containers without any cgroup: --cgroup-manager disabled. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "../support/bundles.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

/** Starts the container in the background; only this verb gets the cgroup manager. */
function start(b: Bundle): number {
  const args = ["--root", b.root, "--cgroup-manager", "disabled", "run", "-d", b.id];
  const started = spawnSync(BERTH_RUNC, args, { cwd: b.folder, stdio: "ignore", timeout: 20_000 });
  assert.equal(started.status, 0);
  return JSON.parse(b.runc("state", b.id).stdout).pid;
}

/** Its processes, once there are so many. */
function membersOf(b: Bundle, count: number): number[] {
  for (let turn = 0; ; turn++) {
    const listed = b.runc("ps", "--format", "json", b.id);
    assert.equal(listed.status, 0, listed.stderr);
    const members: number[] = JSON.parse(listed.stdout);
    if (members.length === count) return members;
    assert.ok(turn < 100, `found ${members}, expected ${count} processes`);
    spawnSync("sleep", ["0.01"]);
  }
}

test("a container stays in its caller's cgroup, and all features that need none work", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = ["sh", "-c", "sleep 100 & sleep 100 & wait"];
  });
  const pid = start(b);
  const places = (of: number | "self") => readFileSync(`/proc/${of}/cgroup`, "utf8").replace(/^\d+:/gm, "");
  assert.equal(places(pid), places("self"));
  assert.equal(b.runc("exec", b.id, "echo", "inside").stdout, "inside\n");
  const members = membersOf(b, 3);
  assert.ok(members.includes(pid));
  assert.match(b.runc("pause", b.id).stderr, /has no freezer cgroup/);
  assert.match(b.runc("update", "--memory", "10M", b.id).stderr, /memory.limit_in_bytes needs the cgroup/);
  assert.match(b.runc("exec", "--cgroup", "x", b.id, "true").stderr, /--cgroup: found a container without/);
  assert.equal(b.runc("kill", "--all", b.id, "KILL").status, 0);
  assert.equal(b.runc("delete", "--force", b.id).status, 0);
  for (const member of members) assert.ok(ended(member), `process ${member} is left`);
});

/** Gone, or a zombie not yet reaped by its new parent. */
function ended(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return true;
  return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

test("without a pid namespace either, SIGKILL and delete reach the process's descendants", (t) => {
  for (const verb of [
    ["kill", "ID", "KILL"],
    ["delete", "--force", "ID"],
  ]) {
    const b = makeBundle(t);
    b.configure((s) => {
      s.process!.args = ["sh", "-c", "sh -c 'sleep 100 & wait' & wait"];
      s.linux!.namespaces = s.linux!.namespaces!.filter((n) => n.type !== "pid");
    });
    start(b);
    const members = membersOf(b, 3);
    assert.equal(b.runc(...verb.map((word) => (word === "ID" ? b.id : word))).status, 0);
    for (let turn = 0; turn < 200 && !members.every(ended); turn++) spawnSync("sleep", ["0.01"]);
    assert.deepEqual(
      members.filter((pid) => !ended(pid)),
      [],
    );
  }
});

test("limits are refused by name, absent device rules are reported", (t) => {
  const b = makeBundle(t);
  const run = () => b.runc("--cgroup-manager=disabled", "run", b.id);
  b.configure((s) => {
    s.process!.args = ["true"];
    s.linux!.resources = { devices: [{ allow: false, access: "rwm" }] };
  });
  const ran = run();
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stderr, /level=warning msg="linux.resources.devices: without a cgroup nothing enforces/);
  const path = join(b.folder, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8"));
  spec.linux.resources = { pids: { limit: 5 } };
  writeFileSync(path, JSON.stringify(spec));
  assert.match(run().stderr, /linux.resources: pids.max needs the cgroup controller/);
});

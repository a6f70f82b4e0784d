/** Upgrade in place: containers started by the previous release continue under the current daemon. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { realSys } from "@berth/sys";
import { ROOT } from "../support/checkout.ts";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";
import { Lane } from "./lane.ts";

/** The last commit before the shim, restarts and the daemon's recovery took their current form. */
const BEFORE = "288c64f";
realSys.becomeSubreaper();

/** Builds that commit in `folder`, with the installed packages. */
function build(folder: string): void {
  const archive = execFileSync("git", ["-C", ROOT, "archive", BEFORE], { maxBuffer: 256 << 20 });
  execFileSync("tar", ["-x", "-C", folder], { input: archive });
  mkdirSync(join(folder, "node_modules/@berth"), { recursive: true });
  for (const name of readdirSync(join(ROOT, "node_modules")))
    if (name !== "@berth") symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  for (const name of readdirSync(join(folder, "packages")))
    symlinkSync(join("../../packages", name), join(folder, "node_modules/@berth", name));
  execFileSync("sh", ["scripts/build.sh"], { cwd: folder, stdio: "pipe", timeout: 300_000 });
}

const known = spawnSync("git", ["-C", ROOT, "cat-file", "-e", `${BEFORE}^{commit}`]).status === 0;
const skip = cannotRun("/bin/busybox") ?? (known ? false : `commit ${BEFORE} is not in this clone`);

test("containers of the previous release keep running", { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-before-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  build(folder);
  const on = new Lane(`upgrade-${process.pid}`, join(folder, "bin"));
  t.after(() => on.close());
  await on.up();
  await on.load();
  const start = (name: string, script: string) =>
    on.must("run", "-d", "--name", name, on.image, "sh", "-c", script);
  await start("runs", "trap 'exit 6' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done");
  await start("ends", "sleep 2; exit 9");
  await start("ended", "exit 4");
  await on.must("create", "--name", "made", on.image, "sh", "-c", "exit 3");
  await on.must("wait", "ended");
  const { Pid } = (await on.inspect("runs")).State;
  const ends = (await on.inspect("ends")).State.Pid;
  await on.down();
  await until("one has ended", () => !existsSync(`/proc/${ends}`) || undefined);

  on.bin = join(ROOT, "bin");
  await on.up();
  assert.deepEqual(await on.leaks(), []);
  assert.deepEqual((await on.inspect("runs")).State.Pid, Pid);
  for (const [name, code] of [
    ["ends", 9],
    ["ended", 4],
  ] as const)
    assert.deepEqual((await on.inspect(name)).State.ExitCode, code, name);
  assert.equal(await on.must("exec", "runs", "echo", "alive"), "alive");
  await on.must("start", "made");
  assert.equal(await on.must("wait", "made"), "3");
  await on.must("stop", "-t", "5", "runs");
  assert.equal((await on.inspect("runs")).State.ExitCode, 6);
  const lines = (await on.must("logs", "runs")).split("\n");
  assert.deepEqual(
    lines,
    lines.map((_, i) => String(i + 1)),
  );
  await on.must("restart", "ends");
  assert.equal(await on.must("wait", "ends"), "9");
  await on.must("rm", "-f", "runs", "ends", "ended", "made");
  assert.deepEqual(await on.leaks(), []);
});

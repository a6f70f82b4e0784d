/** The programs in `examples`, run as documented, and their output. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BERTH_RUNC, makeRootfs } from "./support/bundles.ts";
import { ROOT } from "./support/checkout.ts";
import { type Cli, startCli } from "./support/cli.ts";
import { cannotRun } from "./support/daemons.ts";

const IMAGE = "docker.io/library/busybox:latest";
/** A program that takes longer hangs. */
const TIMEOUT_MS = 30_000;

interface Program {
  child: ChildProcess;
  /** Resolves once standard output matches; rejects if the program exits before. */
  prints(pattern: RegExp): Promise<void>;
  ended: Promise<{ code: number | null; out: string; err: string }>;
}

/** Starts an example, with `folder` for its temporary files. */
function start(folder: string, address: string, name: string, ...args: string[]): Program {
  const child = spawn(process.execPath, [join(ROOT, "examples", name), ...args], {
    env: { ...process.env, BERTH_ADDRESS: address, TMPDIR: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (err += chunk));
  const ended: Program["ended"] = new Promise((resolve) => {
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, out, err });
    });
  });
  const prints = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const look = () => pattern.test(out) && resolve();
      child.stdout.on("data", look);
      child.once("close", () => reject(new Error(`${name} ended without ${pattern}:\n${out}${err}`)));
      look();
    });
  return { child, prints, ended };
}

const skip = cannotRun("/bin/busybox") ?? false;

test("examples with a daemon", { skip }, async (t) => {
  const cli: Cli = await startCli();
  t.after(async () => assert.deepEqual(await cli.close(), []));
  const example = (name: string, ...args: string[]) => start(cli.folder, cli.address, name, ...args);
  const temporary = () => readdirSync(cli.folder).filter((name) => name.startsWith("berth-"));
  const containers = async () => (await cli.berth(["ps", "-aq"])).out;

  await t.test("embed-engine: an embedded daemon, which leaves nothing", async () => {
    const { code, out, err } = await example("embed-engine.ts", join(cli.folder, "busybox.tar")).ended;
    assert.equal(code, 0, err);
    assert.match(out, /^berthd v\S+, in process \d+\nnamespace example \{"purpose":"demonstration"\}\n/);
    assert.match(out, /^image docker\.io\/library\/busybox:latest sha256:[0-9a-f]{64}$/m);
    assert.deepEqual(temporary(), []);
  });

  await t.test("log-shipper: every line of running and new containers, once", async (t) => {
    const run = async (...args: string[]) => {
      const { code, out, err } = await cli.berth(["run", "-d", ...args]);
      assert.equal(code, 0, err);
      return out.trim();
    };
    // The first container's log is rotated many times, before and while it is read.
    const count = "i=0; while [ $i -lt 2000 ]; do echo number $i; i=$((i+1)); done; exec sleep 1000";
    const rotated = ["--log-opt", "max-size=8k", "--log-opt", "max-file=100", "busybox", "sh", "-c", count];
    const early = await run("--name", "early", ...rotated);
    const shipper = example("log-shipper.ts");
    t.after(() => shipper.child.kill("SIGKILL"));
    await shipper.prints(/number 1999"/);
    const late = await run("--name", "late", "busybox", "sh", "-c", "echo out; echo err >&2");
    await shipper.prints(/"stdout","text":"out"/);
    await shipper.prints(/"stderr","text":"err"/);
    // A restart continues the same log.
    assert.equal((await cli.berth(["restart", "-t", "0", "early"])).code, 0);
    await shipper.prints(/number 1999".*number 1999"/s);
    shipper.child.kill("SIGTERM");
    const { code, out, err } = await shipper.ended;
    assert.equal(code, 0, err);
    assert.equal(err, "");
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const texts = (id: string) =>
      lines.filter(({ container }) => container === id).map(({ stream, text }) => `${stream} ${text}`);
    const once = Array.from({ length: 2000 }, (_, i) => `stdout number ${i}`);
    assert.deepEqual(texts(early), [...once, ...once]);
    assert.deepEqual(texts(late).sort(), ["stderr err", "stdout out"]);
    assert.equal((await cli.berth(["rm", "-f", "early", "late"])).code, 0);
  });

  await t.test("ci-runner: output and exit code", async () => {
    const script = "echo out; echo err >&2; exit 3";
    const ran = await example("ci-runner.ts", "600", IMAGE, "sh", "-c", script).ended;
    assert.deepEqual(ran, { code: 3, out: "out\n", err: "err\n" });
    const none = await example("ci-runner.ts", "600", IMAGE, "no-such-program").ended;
    assert.equal(none.code, 125);
    assert.match(none.err, /^ci-runner: .*no-such-program/);
    assert.equal(await containers(), "");
    assert.deepEqual(temporary(), []);
  });

  await t.test("ci-runner: a timeout, and a signal", async (t) => {
    const late = await example("ci-runner.ts", "0.001", IMAGE, "sleep", "1000").ended;
    assert.equal(late.code, 124);
    assert.equal(late.err, "ci-runner: 0.001 seconds are up\n");
    const stopped = example("ci-runner.ts", "600", IMAGE, "sh", "-c", "echo begun; exec sleep 1000");
    t.after(() => stopped.child.kill("SIGKILL"));
    await stopped.prints(/begun/);
    stopped.child.kill("SIGTERM");
    assert.deepEqual(await stopped.ended, {
      code: 124,
      out: "begun\n",
      err: "ci-runner: SIGTERM came\n",
    });
    assert.equal(await containers(), "");
    assert.deepEqual(temporary(), []);
  });
});

test("oci-hook: with an owner, and without", { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-example-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const rootfs = join(folder, "rootfs");
  makeRootfs(rootfs);
  const ids: string[] = [];
  const run = (...args: string[]) => {
    const { child, ended } = start(folder, "", "oci-hook/run.ts", rootfs, ...args);
    ids.push(`hook-${child.pid}`);
    return ended;
  };
  t.after(() => {
    for (const id of ids) spawnSync(BERTH_RUNC, ["delete", "--force", id], { timeout: TIMEOUT_MS });
  });

  const allowed = await run("ada", "echo", "hello");
  assert.equal(allowed.code, 0, allowed.err);
  const [output, record] = allowed.out.split("the hook's record: ");
  assert.equal(output, "hello\n");
  const { id, owner, status, pid } = JSON.parse(record!);
  assert.deepEqual({ id, owner, status }, { id: ids[0], owner: "ada", status: "creating" });
  assert.ok(pid > 0);

  const refused = await run("", "echo", "hello");
  assert.equal(refused.code, 1);
  assert.equal(refused.out, "");
  assert.match(refused.err, /createRuntime hook #0.*lacks the annotation org\.example\.owner/);

  assert.deepEqual(readdirSync(folder), ["rootfs"]);
  const known = spawnSync(BERTH_RUNC, ["list", "--quiet"], { encoding: "utf8" }).stdout.split("\n");
  for (const id of ids) {
    assert.ok(!known.includes(id), `${id} is still known`);
    assert.deepEqual(globSync(`/sys/fs/cgroup/{,*/}${id}`), []);
  }
});

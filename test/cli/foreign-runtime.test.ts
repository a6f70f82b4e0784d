/** A foreign runtime under berthd, through its shim: Debian's containerd-shim-runc-v2 with Debian's runc. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { traces } from "../support/bundles.ts";
import { type Cli, startCli } from "../support/cli.ts";
import { until } from "../support/until.ts";

const RUNC = ["--runtime", "io.containerd.runc.v2"];
let cli: Cli;
let baseline: string[] = [];
before(async () => {
  baseline = traces();
  cli = await startCli();
});
after(async () => {
  assert.deepEqual(await cli.close(), [], "nothing is left behind");
  assert.deepEqual(traces(), baseline, "something was left behind");
});

/** The pid of the shim that serves a container. */
function shimOf(name: string): number {
  for (const pid of readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (words[0]!.endsWith("containerd-shim-runc-v2") && words.includes(name)) return Number(pid);
    } catch {
      // It has exited.
    }
  }
  throw new Error(`no shim of ${name}`);
}

const idOf = async (name: string) => (await cli.berth(["inspect", "--format", "{{.Id}}", name])).out.trim();
const stateOf = async (name: string) =>
  (await cli.berth(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name])).out.trim();

describe("--runtime io.containerd.runc.v2", () => {
  test("run: streams, exit codes, a terminal", async () => {
    const script = "echo out; echo err >&2; exit 3";
    assert.deepEqual(await cli.berth(["run", "--rm", ...RUNC, "busybox", "sh", "-c", script]), {
      code: 3,
      out: "out\n",
      err: "err\n",
    });
    const piped = await cli.berth(["run", "--rm", "-i", "--runtime", "runc", "busybox", "cat"], {
      input: "in\n",
    });
    assert.equal(piped.out, "in\n");
    const missing = await cli.berth(["run", "--rm", ...RUNC, "busybox", "/no/such/program"]);
    assert.match(missing.err, /no such file/);
    assert.notEqual(missing.code, 0);
  });

  test("detached: logs, exec, pause, limits, stats, stop, rm", async () => {
    const run = ["run", "-d", "--name", "web", ...RUNC, "busybox", "sh", "-c", "echo begun; exec sleep 1000"];
    assert.equal((await cli.berth(run)).code, 0);
    await until("it has come to that", async () => (await cli.berth(["logs", "web"])).out === "begun\n");
    const exec = await cli.berth(["exec", "web", "sh", "-c", "echo added; exit 4"]);
    assert.deepEqual({ ...exec, err: "" }, { code: 4, out: "added\n", err: "" });
    assert.equal((await cli.berth(["pause", "web"])).code, 0);
    assert.equal(await stateOf("web"), "paused 0");
    assert.equal((await cli.berth(["unpause", "web"])).code, 0);
    assert.match((await cli.berth(["top", "web"])).out, /sleep 1000/);
    assert.match((await cli.berth(["stats", "--no-stream", "web"])).out, /web/);
    assert.equal((await cli.berth(["stop", "-t", "1", "web"])).code, 0);
    assert.equal(await stateOf("web"), "exited 137");
    assert.equal((await cli.berth(["start", "web"])).code, 0);
    assert.equal((await cli.berth(["rm", "-f", "web"])).code, 0);
  });

  test("a killed daemon: the container keeps running, its log and its exit are not lost", async () => {
    const script = "echo one; sleep 1; echo two; exit 5";
    assert.equal(
      (await cli.berth(["run", "-d", "--name", "on", ...RUNC, "busybox", "sh", "-c", script])).code,
      0,
    );
    assert.equal(
      (await cli.berth(["run", "-d", "--name", "stays", ...RUNC, "busybox", "sleep", "1000"])).code,
      0,
    );
    await cli.crash();
    assert.equal((await cli.berth(["wait", "on"])).out, "5\n");
    assert.equal((await cli.berth(["logs", "on"])).out, "one\ntwo\n");
    assert.equal(await stateOf("stays"), "running 0");
    assert.equal((await cli.berth(["exec", "stays", "true"])).code, 0);
    assert.equal((await cli.berth(["rm", "-f", "on", "stays"])).code, 0);
  });

  test("kill -9 of the shim: the container exits, and nothing of it is left", async () => {
    assert.equal(
      (await cli.berth(["run", "-d", "--name", "lost", ...RUNC, "busybox", "sleep", "1000"])).code,
      0,
    );
    process.kill(shimOf(await idOf("lost")), "SIGKILL");
    await until("it has come to that", async () => (await stateOf("lost")) === "exited 137");
    assert.equal((await cli.berth(["rm", "lost"])).code, 0);
    assert.deepEqual(readdirSync(join(cli.folder, "state/shims/default")), []);
  });

  test("a runtime without a shim binary is refused with the binary's name", async () => {
    const { code, err } = await cli.berth([
      "run",
      "--rm",
      "--runtime",
      "io.containerd.nosuch.v7",
      "busybox",
      "true",
    ]);
    assert.notEqual(code, 0);
    assert.match(err, /found no program containerd-shim-nosuch-v7/);
    assert.deepEqual((await cli.berth(["ps", "-aq"])).out, "");
  });
});

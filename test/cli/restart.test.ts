/** Restart policies, and stopping containers that resist. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { startCli } from "../support/cli.ts";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";

const skip = cannotRun("/bin/busybox") ?? false;

/** Whether a process is running; a zombie is not. */
function alive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** A daemon, and helpers for its state. */
async function setUp(t: TestContext) {
  const cli = await startCli();
  t.after(async () => assert.deepEqual(await cli.close(), []));
  const ok = async (...args: string[]) => {
    const { code, out, err } = await cli.berth(args, { timeout: 60_000 });
    assert.equal(code, 0, `berth ${args.join(" ")}: ${err}`);
    return out.trim();
  };
  const inspect = async (name: string) => JSON.parse(await ok("inspect", name))[0];
  const status = async (name: string): Promise<string> => (await inspect(name)).State.Status;
  const runs = (name: string) =>
    until(`${name} runs`, async () => (await status(name)) === "running", {
      report: () => `${cli.log()}\n${readFileSync("/proc/loadavg", "utf8")}`,
    });
  const run = (name: string, ...more: string[]) => ok("run", "-d", "--name", name, ...more);
  return { cli, ok, inspect, status, runs, run };
}

test("berth run --restart", { skip }, async (t) => {
  const { cli, ok, inspect, status, runs, run } = await setUp(t);

  await t.test("always: the same container, with the same log, counted", async () => {
    await run("al", "--restart", "always", "busybox", "sh", "-c", "echo here; touch /was; sleep 0.1; exit 3");
    await until("it was started three times", async () => (await inspect("al")).RestartCount >= 2);
    await ok("stop", "-t", "0", "al");
    const seen = await inspect("al");
    assert.equal(seen.State.Status, "exited");
    assert.deepEqual(seen.HostConfig.RestartPolicy, { Name: "always", MaximumRetryCount: 0 });
    const lines = (await ok("logs", "al")).split("\n");
    // The process of the last start may have been killed before its first line.
    assert.ok(lines.length >= seen.RestartCount && lines.length <= seen.RestartCount + 1);
    assert.ok(lines.every((line) => line === "here"));
    assert.equal(
      await ok("ps", "-a", "--filter", "name=^al$", "--format", "{{.RestartCount}}"),
      String(seen.RestartCount),
    );
  });

  await t.test("on-failure:2 gives up, and then shows the exit code", async () => {
    await run("fa", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 9");
    await until("it has given up", async () => (await status("fa")) === "exited");
    const { RestartCount, State } = await inspect("fa");
    assert.equal(RestartCount, 2);
    assert.equal(State.ExitCode, 9);
    await run("go", "--restart", "on-failure", "busybox", "true");
    await until("it has ended", async () => (await status("go")) === "exited");
    assert.equal((await inspect("go")).RestartCount, 0);
  });

  await t.test(
    "a container waiting to restart is shown as such, is not removed without force, and can be stopped",
    async () => {
      await run("wa", "--restart", "always", "busybox", "false");
      await until("the back-off is long", async () => (await inspect("wa")).RestartCount >= 5);
      await until("it waits", async () => (await status("wa")) === "restarting");
      assert.match(await ok("ps", "--format", "{{.Names}} {{.Status}}"), /^wa Restarting \(1\) /m);
      const removed = await cli.berth(["rm", "wa"]);
      assert.equal(removed.code, 1);
      assert.match(removed.err, /restarting/);
      await ok("stop", "wa");
      assert.equal(await status("wa"), "exited");
      await ok("update", "--restart", "no", "wa");
      assert.equal((await inspect("wa")).HostConfig.RestartPolicy.Name, "no");
      await ok("rm", "wa");
    },
  );

  await t.test("kill is a stop by hand; start undoes it", async () => {
    await run("ki", "--restart", "always", "busybox", "sleep", "300");
    await ok("kill", "ki");
    await until("it is dead", async () => (await status("ki")) === "exited");
    // Longer than the first back-off.
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(await status("ki"), "exited");
    await ok("start", "ki");
    await ok("exec", "ki", "kill", "-9", "1").catch(() => {});
    const { Pid } = (await inspect("ki")).State;
    process.kill(Pid, "SIGKILL");
    await until("another process runs", async () => {
      const { State } = await inspect("ki");
      return State.Running && State.Pid !== 0 && State.Pid !== Pid;
    });
    assert.equal((await inspect("ki")).RestartCount, 1);
  });

  await t.test(
    "a kill of the daemon: exited containers are restarted, those stopped by hand according to their policy",
    async () => {
      await run("un", "--restart", "unless-stopped", "busybox", "sleep", "300");
      await ok("stop", "-t", "0", "un");
      await ok("stop", "-t", "0", "ki");
      await run(
        "en",
        "--restart",
        "always",
        "busybox",
        "sh",
        "-c",
        "test -e /x && exec sleep 300; touch /x; sleep 0.3",
      );
      await cli.crash();
      await runs("en");
      await runs("ki");
      assert.equal(await status("un"), "exited");
      await ok("start", "un");
    },
  );

  await t.test("a reboot: running containers come back, with their files and logs", async () => {
    await run("no", "busybox", "sleep", "300");
    await ok("stop", "-t", "0", "ki");
    await ok("update", "--restart", "unless-stopped", "ki");
    const before = (await inspect("un")).State.Pid;
    await cli.reboot();
    await runs("en");
    await runs("un");
    assert.ok(!alive(before));
    assert.notEqual(await status("no"), "running");
    assert.equal(await status("ki"), "exited");
    assert.equal(await ok("exec", "en", "ls", "/x"), "/x");
    await ok("rm", "no");
  });

  await t.test("invalid policies are refused", async () => {
    for (const [args, why] of [
      [["run", "--rm", "--restart", "always", "busybox"], /both --restart and --rm/],
      [["run", "--restart", "often", "busybox"], /invalid restart policy "often"/],
      [["create", "--restart", "always:2", "busybox"], /only be used with on-failure/],
      [["update", "ki"], /--restart/],
    ] as const) {
      const { code, err } = await cli.berth([...args]);
      assert.equal(code, 125);
      assert.match(err, why);
    }
  });
});

test("berth stop and restart", { skip }, async (t) => {
  const { cli, ok, inspect, status, run } = await setUp(t);
  // A shell, as the first process only dies of signals that it has a trap for.
  const stubborn = ["busybox", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"];

  await t.test("signal, grace period, SIGKILL", async () => {
    await run("st", ...stubborn);
    await ok("stop", "-t", "1", "st");
    assert.equal((await inspect("st")).State.ExitCode, 137);
    await run("te", "busybox", "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    await until("its trap is set", async () => (await ok("logs", "te")) === "ready");
    await ok("stop", "te");
    assert.equal((await inspect("te")).State.ExitCode, 7);
    assert.equal(await ok("stop", "te"), "te", "a stopped one is stopped");
  });

  await t.test("--stop-signal, --stop-timeout, --signal; no limit", async () => {
    const trap =
      "trap 'exit 3' USR1; trap 'exit 4' USR2; trap '' TERM; echo ready; while :; do sleep 0.05; done";
    const flags = ["--stop-signal", "USR1", "--stop-timeout", "-1"];
    const started = async (name: string) => {
      await run(name, ...flags, "busybox", "sh", "-c", trap);
      await until("its traps are set", async () => (await ok("logs", name)) === "ready");
    };
    await started("u1");
    await ok("stop", "u1");
    assert.equal((await inspect("u1")).State.ExitCode, 3);
    assert.equal((await inspect("u1")).Config.StopTimeout, -1);
    await started("u2");
    await ok("stop", "-s", "USR2", "u2");
    assert.equal((await inspect("u2")).State.ExitCode, 4);
    await started("u3");
    const forEver = cli.start(["stop", "-s", "TERM", "u3"]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(await status("u3"), "running");
    const { Id } = await inspect("u3");
    assert.match(
      await ok("ops"),
      new RegExp(
        `default +containers.Stop +${Id.slice(0, 12)} +\\d+ ms +grace period \\(\\d+ ms\\) +signal=15`,
      ),
    );
    const [operation] = JSON.parse(await ok("ops", "--json"));
    assert.deepEqual([operation.container, operation.stage], [Id, "grace period"]);
    // Joins the pending stop, with a shorter grace period.
    await ok("stop", "-t", "0", "u3");
    assert.equal(await forEver.closed, 0);
    assert.equal((await inspect("u3")).State.ExitCode, 137);
  });

  await t.test("concurrent stops join each other", async () => {
    await run("jo", ...stubborn);
    const before = (await inspect("jo")).State.Pid;
    const commands = [1, 2, 3].flatMap(() => [
      cli.berth(["restart", "-t", "0", "jo"]),
      cli.berth(["stop", "-t", "0", "jo"]),
    ]);
    for (const { code, err } of await Promise.all(commands)) assert.equal(code, 0, err);
    await ok("restart", "-t", "0", "jo");
    const { State } = await inspect("jo");
    assert.ok(State.Running && State.Pid !== before);
    assert.ok(!alive(before));
    assert.match(await ok("trace", "jo"), /containers\.Restart/);
  });

  await t.test("a frozen container", async () => {
    await ok("pause", "jo");
    await ok("stop", "-t", "1", "jo");
    assert.equal(await status("jo"), "exited");
    await ok("start", "jo");
    await ok("pause", "jo");
    await ok("rm", "-f", "jo");
  });

  await t.test("a process stuck in the kernel is named", async (t) => {
    const name = `stuck-${process.pid}`;
    await ok("-n", name, "load", "-q", "-i", `${cli.folder}/busybox.tar`);
    await ok("-n", name, "run", "-d", "--name", "di", "busybox", "sleep", "300");
    // A freezer above the container's: neither a signal nor the container's own freezer releases it.
    const version1 = existsSync("/sys/fs/cgroup/freezer");
    const freezer = version1
      ? [`/sys/fs/cgroup/freezer/${name}/freezer.state`, "FROZEN", "THAWED"]
      : [`/sys/fs/cgroup/${name}/cgroup.freeze`, "1", "0"];
    const [file, frozen, thawed] = freezer as [string, string, string];
    if (!version1) return t.skip("a frozen cgroup of version 2 lets SIGKILL through");
    writeFileSync(file, frozen);
    try {
      const { code, err } = await cli.berth(["-n", name, "stop", "-t", "0", "di"], { timeout: 60_000 });
      assert.equal(code, 1);
      assert.match(err, /did not end/);
      const { Pid } = JSON.parse(await ok("-n", name, "inspect", "di"))[0].State;
      assert.match(err, new RegExp(`did not end .*process ${Pid} \\(sleep\\), state [A-Z]`));
      assert.match(err, /next: /);
    } finally {
      writeFileSync(file, thawed);
    }
    await ok("-n", name, "rm", "-f", "di");
    await ok("-n", name, "rmi", "busybox");
  });
});

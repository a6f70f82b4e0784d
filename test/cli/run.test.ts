/** `berth run` and the commands that create, watch and stop containers, from the terminal to the kernel. */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BIN } from "../support/checkout.ts";
import { type Cli, startCli } from "../support/cli.ts";

let cli: Cli;
before(async () => {
  cli = await startCli();
});
after(async () => {
  assert.deepEqual(await cli.close(), [], "nothing is left behind");
});
const sh = (script: string, ...flags: string[]) =>
  cli.berth(["run", "--rm", ...flags, "busybox", "sh", "-c", script]);

describe("run", () => {
  test("streams stay apart and the exit code comes through", async () => {
    assert.deepEqual(await sh("echo out; echo err >&2; exit 3"), { code: 3, out: "out\n", err: "err\n" });
    assert.equal((await sh("sh -c 'kill -9 $$'; exit $?")).code, 137);
  });

  test("standard input: small, large, empty, and none", async () => {
    assert.equal((await cli.berth(["run", "--rm", "-i", "busybox", "cat"], { input: "abc\n" })).out, "abc\n");
    const large = Buffer.alloc(3 << 20, "0123456789abcde\n");
    const counted = await cli.berth(["run", "--rm", "-i", "busybox", "sh", "-c", "sleep 0.1; wc -c"], {
      input: large,
    });
    assert.equal(counted.out.trim(), String(large.length));
    assert.equal((await cli.berth(["run", "--rm", "-i", "busybox", "cat"])).out, "");
    assert.equal((await cli.berth(["run", "--rm", "busybox", "cat"], { input: "unread" })).out, "");
  });

  test("a container that ran out of memory reports it, with the cgroup whose limit was reached", async () => {
    const hog = "head -c 64000000 /dev/zero | tail -c 63000000";
    const { code } = await cli.berth(["run", "--name", "hog", "-m", "16m", "busybox", "sh", "-c", hog]);
    assert.equal(code, 137);
    const state = async () =>
      (await cli.berth(["inspect", "-f", "{{.State.OOMKilled}} {{.State.OOMCgroup}}", "hog"])).out;
    assert.match(await state(), /^true \/.*[0-9a-f]{64}\n$/);
    assert.equal((await cli.berth(["rm", "hog"])).code, 0);
  });

  test("large output is complete, and in the log", async () => {
    const script = 'i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done';
    const { out } = await cli.berth(["run", "--name", "chatty", "busybox", "sh", "-c", script]);
    const lines = out.split("\n");
    assert.equal(lines.length, 20001);
    assert.equal(lines[19999], "line 19999");
    assert.equal((await cli.berth(["logs", "chatty"])).out, out);
    assert.equal((await cli.berth(["logs", "--tail", "2", "chatty"])).out, "line 19998\nline 19999\n");
    assert.equal((await cli.berth(["rm", "chatty"])).code, 0);
  });

  test("flags configure the container", async () => {
    const data = join(cli.folder, "data");
    mkdirSync(data);
    writeFileSync(join(data, "file"), "from the host\n");
    writeFileSync(join(cli.folder, "env"), "# comment\nB=2\n");
    const { out, err } = await sh(
      "id; pwd; hostname; echo $A$B$FROM $HOME; cat /data/file; touch /data/x; touch /x; touch /tmp/x && echo tmp",
      ...[
        "-u",
        "web",
        "-w",
        "/home/web",
        "--hostname",
        "box",
        "-e",
        "A=1",
        "--env-file",
        join(cli.folder, "env"),
      ],
      ...["-v", `${data}:/data:ro`, "--read-only", "--tmpfs", "/tmp:mode=1777"],
    );
    assert.deepEqual(out.trim().split("\n"), [
      "uid=1000(web) gid=1000(web) groups=1000(web),2000(extra)",
      "/home/web",
      "box",
      "12image /home/web",
      "from the host",
      "tmp",
    ]);
    assert.match(err, /\/data\/x: Read-only/);
    assert.match(err, /\/x: Read-only/);
  });

  test("a closed pipe ends a command silently", async () => {
    await cli.berth([
      "run",
      "--name",
      "wordy",
      "busybox",
      "sh",
      "-c",
      "head -c 3000000 /dev/zero | tr '\\0' '\\n'",
    ]);
    const { spawnSync } = await import("node:child_process");
    const berth = join(BIN, "berth");
    const piped = spawnSync("bash", ["-c", `${berth} logs wordy | head -n 1; echo \${PIPESTATUS[0]} >&2`], {
      encoding: "utf8",
      timeout: 20_000,
      env: { ...process.env, BERTH_ADDRESS: cli.address },
    });
    assert.deepEqual([piped.stdout, piped.stderr], ["\n", "141\n"]);
    await cli.berth(["rm", "wordy"]);
  });

  test("concurrent removals do not fail", async () => {
    await cli.berth(["run", "-d", "--name", "popular", "--cpus", "0.5", "busybox", "sleep", "100"]);
    const format = ["inspect", "-f", "{{.HostConfig.NanoCpus}}", "popular"];
    assert.equal((await cli.berth(format)).out, "500000000\n");
    const all = await Promise.all([1, 2, 3, 4].map(() => cli.berth(["rm", "-f", "popular"])));
    // Calls during the removal joined it; later ones found nothing.
    assert.ok(all.some(({ code }) => code === 0));
    for (const { code, err } of all)
      if (code !== 0) assert.match(err, /^berth: no such container: popular\n/);
    const { code, err } = await cli.berth(["rm", "-f", "popular"]);
    assert.equal(code, 1);
    assert.match(err, /no such container: popular/);
  });

  test("limits reach the kernel", async () => {
    const id = (
      await cli.berth([
        "run",
        "-d",
        "--name",
        "small",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "30",
        "busybox",
        "sleep",
        "100",
      ])
    ).out.trim();
    const file = (v1: string, v2: string) => {
      const paths = [
        `/sys/fs/cgroup/${v1.split("/")[0]}/default/${id}/${v1.split("/")[1]}`,
        `/sys/fs/cgroup/default/${id}/${v2}`,
      ];
      const found = paths.find((path) => existsSync(path));
      return found ? readFileSync(found, "utf8").trim() : "no such cgroup";
    };
    assert.equal(file("memory/memory.limit_in_bytes", "memory.max"), String(64 << 20));
    assert.equal(file("pids/pids.max", "pids.max"), "30");
    assert.match(file("cpu/cpu.cfs_quota_us", "cpu.max"), /^50000/);
    const stats = await cli.berth(["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}"]);
    assert.match(stats.out, /^small .+ \/ 64MiB 1\n$/);
    await cli.berth(["rm", "-f", "small"]);
  });

  test("privileges inside the container", async () => {
    const caps = async (...flags: string[]) =>
      (await sh("grep CapEff /proc/self/status", ...flags)).out.split("\t")[1]!.trim();
    assert.equal(await caps(), "00000000a80425fb");
    assert.equal(await caps("--cap-drop", "ALL"), "0000000000000000");
    assert.equal(await caps("--cap-drop", "all", "--cap-add", "net_admin"), "0000000000001000");
    assert.match((await sh("grep Seccomp: /proc/self/status")).out, /2/);
    assert.match(
      (await sh("grep Seccomp: /proc/self/status", "--security-opt", "seccomp=unconfined")).out,
      /0/,
    );
    assert.match(
      (await sh("cat /proc/1/status | grep NoNewPrivs", "--security-opt", "no-new-privileges")).out,
      /1/,
    );
    assert.match(
      (await sh("mount -t tmpfs x /tmp")).err,
      /permission denied|Operation not permitted|not permitted/i,
    );
  });

  test("exit codes of failed runs", async () => {
    const cases: [string[], number, RegExp][] = [
      [["run", "--rm", "busybox", "nosuch"], 127, /"nosuch": executable file not found[\s\S]*next: /],
      [["run", "--rm", "busybox", "/bin/nosuch"], 127, /no such file/],
      [["run", "--rm", "busybox", "/etc/notes"], 126, /permission denied/],
      [["run", "--rm", "busybox", "/etc"], 126, /is a directory/],
      [["run", "--rm", "-u", "ghost", "busybox", "true"], 125, /unable to find user ghost/],
      [["run", "--rm", "-w", "rel", "busybox", "true"], 125, /expected an absolute path/],
      [["run", "--rm", "--pull", "never", "ghost", "true"], 125, /no such image: ghost/],
      [["run", "--rm", "--network", "bridge", "busybox", "true"], 125, /--network: found "bridge"/],
      [["run", "--rm", "--restart", "always", "busybox", "true"], 125, /--restart/],
      [["run", "--rm", "--nonsense", "busybox"], 125, /unknown flag: --nonsense/],
      [["run", "-it", "--detach-keys", "esc,x", "busybox"], 125, /not a TTY|--detach-keys/],
      [["run", "--detach-keys", "esc,x", "busybox", "true"], 125, /--detach-keys: found "esc"/],
      [["run", "--rm", "--mount", "type=bind,src=/no/such,dst=/x", "busybox", "true"], 125, /\/no\/such/],
      [["frobnicate"], 125, /not a berth command/],
      [["run"], 125, /takes at least 1 argument/],
      [["logs", "nobody"], 1, /no such container: nobody/],
    ];
    for (const [args, code, message] of cases) {
      const ran = await cli.berth(args);
      assert.equal(ran.code, code, `${args.join(" ")}: ${ran.err}`);
      assert.match(ran.err, message);
    }
    assert.equal((await cli.berth(["ps", "-aq"])).out, "", "no container is left of them");
  });

  test("a missing daemon is reported", async () => {
    const ran = await cli.berth(["--address", "unix:///no/such.sock", "ps"]);
    assert.equal(ran.code, 1);
    assert.match(ran.err, /cannot connect to \/no\/such\.sock[\s\S]*next: /);
  });

  test("a signal to berth goes to the container", async () => {
    const { child, closed } = cli.start([
      "run",
      "--rm",
      "--name",
      "polite",
      "busybox",
      "sh",
      "-c",
      "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.1; done",
    ]);
    let out = "";
    child.stdout!.on("data", (chunk) => {
      out += chunk;
      if (String(chunk).includes("up")) child.kill("SIGTERM");
    });
    const code = await closed;
    assert.deepEqual([code, out], [4, "up\nbye\n"]);
  });
});

describe("the lifecycle of a container", () => {
  test("run -d, ps, exec, logs, stop, start, restart, wait, rm", async () => {
    const script = "trap 'echo stopped; exit 7' TERM; echo started; while :; do sleep 0.1; done";
    const id = (
      await cli.berth(["run", "-d", "--name", "life", "-l", "team=x", "busybox", "sh", "-c", script])
    ).out.trim();
    assert.match(id, /^[0-9a-f]{64}$/);
    const ps = (...args: string[]) =>
      cli.berth(["ps", "--format", "{{.Names}} {{.State}}", ...args]).then((r) => r.out.trim());
    assert.equal(await ps(), "life running");
    assert.equal(await ps("--filter", "label=team=x", "--filter", "status=exited"), "");
    const taken = await cli.berth(["run", "-d", "--name", "life", "busybox", "true"]);
    assert.equal(taken.code, 125);
    assert.match(taken.err, new RegExp(`name "life" is already taken by container ${id.slice(0, 12)}`));

    assert.deepEqual(await cli.berth(["exec", "-e", "X=1", "life", "sh", "-c", "echo $X$FROM; exit 5"]), {
      code: 5,
      out: "1image\n",
      err: "",
    });
    assert.equal((await cli.berth(["exec", "-i", "life", "cat"], { input: "through\n" })).out, "through\n");
    assert.match(
      (await cli.berth(["exec", "-u", "web", "-w", "/tmp", "life", "sh", "-c", "id -un; pwd"])).out,
      /web\n\/tmp/,
    );
    assert.equal((await cli.berth(["exec", "-d", "life", "touch", "/tmp/made"])).code, 0);
    assert.equal((await cli.berth(["exec", "life", "nosuch"])).code, 127);
    assert.match((await cli.berth(["top", "life"])).out, /sh -c trap/);

    assert.equal((await cli.berth(["stop", "life"])).out, "life\n");
    assert.equal(await ps("-a"), "life exited");
    assert.match((await cli.berth(["ps", "-a"])).out, /Exited \(7\)/);
    assert.equal((await cli.berth(["wait", "life"])).out, "7\n");
    assert.equal((await cli.berth(["exec", "life", "true"])).code, 1);
    assert.match((await cli.berth(["rm", id.slice(0, 8), "nobody"])).err, /no such container: nobody/);
    assert.equal(await ps("-a"), "");

    await cli.berth(["create", "--name", "life", "busybox", "sh", "-c", script]);
    assert.equal(await ps("-a"), "life created");
    assert.equal((await cli.berth(["start", "life"])).out, "life\n");
    const pid = async () => (await cli.berth(["inspect", "-f", "{{.State.Pid}}", "life"])).out.trim();
    const first = await pid();
    assert.equal((await cli.berth(["restart", "-t", "5", "life"])).out, "life\n");
    assert.notEqual(await pid(), first);
    assert.deepEqual((await cli.berth(["logs", "life"])).out.split("\n").filter(Boolean), [
      "started",
      "stopped",
      "started",
    ]);
    assert.match((await cli.berth(["trace", "life"])).out, /tasks\.Start[\s\S]*ms/);
    assert.match((await cli.berth(["rm", "life"])).err, /container life is running[\s\S]*next: .*--force/);

    assert.equal((await cli.berth(["pause", "life"])).code, 0);
    assert.equal(await ps(), "life paused");
    assert.equal((await cli.berth(["unpause", "life"])).code, 0);
    assert.equal((await cli.berth(["kill", "-s", "TERM", "life"])).code, 0);
    assert.equal((await cli.berth(["wait", "life"])).out, "7\n");
    assert.equal((await cli.berth(["start", "-a", "life"], { timeout: 1000 })).out, "started\n");
    assert.equal((await cli.berth(["rm", "-f", "life"])).code, 0);
  });

  test("a killed daemon does not take its containers along", async () => {
    const ready = join(cli.folder, "ready");
    mkdirSync(ready);
    const script = "echo before; touch /r/up; while [ ! -e /r/go ]; do sleep 0.05; done; echo after; exit 9";
    const watched = cli.berth([
      "run",
      "--rm",
      "--name",
      "steady",
      "-v",
      `${ready}:/r`,
      "busybox",
      "sh",
      "-c",
      script,
    ]);
    while (!existsSync(join(ready, "up"))) await new Promise((resolve) => setTimeout(resolve, 20));
    const { child: following, closed } = cli.start(["logs", "-f", "steady"]);
    let followed = "";
    following.stdout!.on("data", (chunk) => {
      followed += chunk;
    });
    await new Promise((resolve) => following.stdout!.once("data", resolve));
    await cli.crash();
    assert.equal((await cli.berth(["ps", "--format", "{{.Names}} {{.State}}"])).out, "steady running\n");
    writeFileSync(join(ready, "go"), "");
    assert.deepEqual(await watched, { code: 9, out: "before\nafter\n", err: "" });
    let errors = "";
    following.stderr!.on("data", (chunk) => {
      errors += chunk;
    });
    assert.equal(await closed, 0, errors);
    assert.equal(followed, "before\nafter\n", errors);
  });

  test("an unresponsive container can be left running, and a cidfile has its id", async () => {
    const file = join(cli.folder, "cid");
    assert.equal((await cli.berth(["create", "--cidfile", file, "--pull", "never", "ghost"])).code, 1);
    assert.equal(existsSync(file), false);
    const { child, closed } = cli.start([
      "run",
      "--name",
      "deaf",
      "--cidfile",
      file,
      "busybox",
      "sh",
      "-c",
      "trap '' INT; echo up; while :; do sleep 0.1; done",
    ]);
    let err = "";
    child.stderr!.on("data", (chunk) => {
      err += chunk;
    });
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    for (let i = 0; i < 3; i++) {
      child.kill("SIGINT");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(await closed, 125);
    assert.match(err, /left after 3 signals[\s\S]*next: berth kill/);
    const id = readFileSync(file, "utf8");
    assert.equal(
      (await cli.berth(["inspect", "-f", "{{.Id}} {{.State.Status}}", "deaf"])).out,
      `${id} running\n`,
    );
    assert.equal((await cli.berth(["run", "--cidfile", file, "busybox"])).code, 125);
    await cli.berth(["rm", "-f", "deaf"]);
  });

  test("run -d --rm is removed by the daemon", async () => {
    await cli.berth(["run", "-d", "--rm", "--name", "brief", "busybox", "true"]);
    for (let tries = 0; tries < 100; tries++) {
      if ((await cli.berth(["ps", "-aq"])).out === "") return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail("it is still there");
  });

  test("logs -f follows to the end, with times", async () => {
    await cli.berth([
      "run",
      "-d",
      "--name",
      "slow",
      "busybox",
      "sh",
      "-c",
      "echo one; sleep 0.5; echo two >&2; sleep 0.3; echo three",
    ]);
    const ran = await cli.berth(["logs", "-f", "-t", "slow"]);
    assert.match(ran.out, /^\d{4}-\d\d-\d\dT\S+Z one\n\S+Z three\n$/);
    assert.match(ran.err, /Z two\n$/);
    assert.equal((await cli.berth(["logs", "--since", "1h", "slow"])).out, "one\nthree\n");
    assert.equal((await cli.berth(["logs", "--until", "1h", "slow"])).out, "");
    await cli.berth(["rm", "slow"]);
  });

  test("a terminal", async () => {
    // script(1) gives the command a terminal, and passes its input on as keystrokes.
    const typed = async (args: string[], input: string) => {
      const command = [join(BIN, "berth"), ...args].join(" ");
      const { spawn } = await import("node:child_process");
      const child = spawn("script", ["-qefc", command, "/dev/null"], {
        env: { ...process.env, BERTH_ADDRESS: cli.address },
      });
      let out = "";
      child.stdout.on("data", (chunk) => {
        out += chunk;
        // Input before the shell is ready would be lost.
        if (input !== "" && out.includes("# ")) {
          child.stdin.write(input);
          input = "";
        }
      });
      const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
      const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
      clearTimeout(timer);
      return { code, out };
    };
    const shell = await typed(["run", "-it", "--rm", "busybox", "sh"], "tty; echo $TERM; exit 6\n");
    assert.equal(shell.code, 6, shell.out);
    assert.match(shell.out, /\/dev\/pts\/0/);
    assert.match(shell.out, /xterm/);
    assert.doesNotMatch(shell.out, /\r\r\n/, "output is passed on as it is");
    const left = await typed(["run", "-it", "--name", "kept", "busybox", "sh"], "\x10\x11");
    assert.equal(left.code, 0, left.out);
    assert.equal((await cli.berth(["ps", "--format", "{{.Names}}"])).out, "kept\n");
    const added = await typed(["exec", "-it", "kept", "sh"], "tty; exit 4\n");
    assert.equal(added.code, 4, added.out);
    await cli.berth(["rm", "-f", "kept"]);
  });
});

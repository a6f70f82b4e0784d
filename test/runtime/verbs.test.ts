/** berth-runc's verbs: lifecycle, messages and exit codes, by DESIGN's table of states. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BERTH_RUNC, makeBundle, output, runBundle, traces } from "../support/bundles.ts";
import { cannotRun } from "../support/daemons.ts";
import { until } from "../support/until.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

test("run passes on output and exit code, and leaves nothing", (t) => {
  const b = makeBundle(t);
  const result = runBundle(b, "sh", "-c", "echo out; echo err >&2; exit 7");
  assert.deepEqual([result.status, result.stdout, result.stderr], [7, "out\n", "err\n"]);
  assert.equal(b.runc("state", b.id).status, 1);
  assert.equal(runBundle(b, "sh", "-c", "sh -c 'kill -9 $$'; exit $?").status, 137);
});

test("create, start, kill, delete, with state and list between", async (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  const pidFile = join(b.folder, "pid");
  assert.equal(b.detached("create", "--pid-file", pidFile, b.id), 0);
  const pid = Number(readFileSync(pidFile, "utf8"));
  const state = () => JSON.parse(b.runc("state", b.id).stdout);
  assert.equal(state().status, "created");
  assert.equal(state().pid, pid);
  assert.equal(b.runc("start", b.id).status, 0);
  assert.equal(state().status, "running");
  assert.match(b.runc("start", b.id).stderr, /cannot start an already running container/);
  assert.match(b.runc("delete", b.id).stderr, /cannot delete container .* that is not stopped: running/);
  assert.match(b.runc("create", b.id).stderr, /container with given ID already exists/);
  assert.match(b.runc("list").stdout, new RegExp(`${b.id} +${pid} +running`));
  assert.equal(b.runc("list", "-q").stdout, `${b.id}\n`);
  assert.deepEqual(JSON.parse(b.runc("ps", "--format", "json", b.id).stdout), [pid]);
  assert.match(b.runc("ps", b.id).stdout, /sleep 100/);
  assert.equal(b.runc("kill", b.id, "KILL").status, 0);
  await until("the end", () => state().status === "stopped");
  assert.match(b.runc("start", b.id).stderr, /cannot start a container that has stopped/);
  assert.match(b.runc("kill", b.id, "KILL").stderr, /container not running/);
  assert.match(b.runc("exec", b.id, "true").stderr, /cannot exec in a stopped container/);
  assert.equal(b.runc("delete", b.id).status, 0);
  assert.match(b.runc("delete", b.id).stderr, /container does not exist/);
  assert.equal(b.runc("delete", "--force", b.id).status, 0);
});

test("pause stops everything, resume continues it", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  assert.equal(b.runc("pause", b.id).status, 0);
  assert.equal(JSON.parse(b.runc("state", b.id).stdout).status, "paused");
  assert.match(b.runc("exec", b.id, "true").stderr, /paused container/);
  assert.match(b.runc("pause", b.id).stderr, /not running or created: paused/);
  assert.equal(b.runc("resume", b.id).status, 0);
  assert.match(b.runc("resume", b.id).stderr, /not paused/);
  const after = b.runc("exec", b.id, "true");
  assert.equal(after.status, 0, after.stderr);
});

test("exec: environment, folder, user, exit code; its failure is 255", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  const exec = b.runc(
    "exec",
    "-e",
    "A=1",
    "--cwd",
    "/tmp",
    "-u",
    "1000:50",
    "-g",
    "7",
    b.id,
    "sh",
    "-c",
    "echo $A; pwd; id; exit 9",
  );
  assert.equal(exec.status, 9);
  assert.match(exec.stdout, /^1\n\/tmp\nuid=1000\(user\) gid=50 groups=7/);
  const missing = b.runc("exec", b.id, "nothing");
  assert.equal(missing.status, 255);
  assert.match(
    missing.stderr,
    /exec failed: unable to start container process: exec: \\"nothing\\": executable file not found in \$PATH/,
  );
  assert.match(b.runc("exec", "-u", "root", b.id, "true").stderr, /UID or UID:GID/);
  assert.match(b.runc("exec", b.id, "sh", "-c", "ls -l /proc/self/ns/pid").stdout, /pid:/);
  assert.equal(b.detached("exec", "-d", "--pid-file", join(b.folder, "exec.pid"), b.id, "sleep", "50"), 0);
  assert.equal(JSON.parse(b.runc("ps", "-f", "json", b.id).stdout).length, 2);
});

test("a killed runtime's half-created container is removed by delete --force", (t) => {
  const b = makeBundle(t);
  mkdirSync(join(b.root, b.id), { recursive: true });
  assert.equal(b.runc("delete", "--force", b.id).status, 0);
  assert.equal(existsSync(join(b.root, b.id)), false);
});

test("spec, features, version and help", (t) => {
  const b = makeBundle(t);
  rmSync(join(b.folder, "config.json"));
  assert.equal(b.runc("spec").status, 0);
  assert.match(b.runc("spec").stderr, /config.json exists/);
  assert.deepEqual(JSON.parse(readFileSync(join(b.folder, "config.json"), "utf8")).process.args, ["sh"]);
  assert.equal(JSON.parse(b.runc("features").stdout).linux.seccomp.enabled, true);
  assert.match(b.runc("--version").stdout, /berth-runc version .*\ncommit: .+\nspec: 1\.3\.0/);
  assert.match(b.runc("--help").stdout, /COMMANDS:/);
  assert.match(b.runc("create", "--help").stdout, /--console-socket/);
  assert.match(
    b.runc("--rootless", "true", "list").stderr,
    /--rootless: found .*true.*, expected false or auto/,
  );
  assert.match(b.runc("--cgroup-manager=none", "list").stderr, /manager .*none.* is not supported/);
  assert.match(b.runc("migrate", b.id).stderr, /No help topic for 'migrate'/);
});

test("errors go to --log as JSON too, for engines", (t) => {
  const b = makeBundle(t);
  const log = join(b.folder, "log.json");
  b.args("/nothing");
  const result = b.runc("--log", log, "--log-format", "json", "run", b.id);
  assert.equal(result.status, 1);
  const line = JSON.parse(readFileSync(log, "utf8").trim().split("\n").at(-1)!);
  assert.equal(line.level, "error");
  assert.match(line.msg, /exec: "\/nothing": stat \/nothing: no such file or directory/);
});

test("an unwritable log file is an error", (t) => {
  const b = makeBundle(t);
  const result = b.runc("--log", join(b.folder, "none/log"), "run", b.id);
  assert.equal(result.status, 1);
  assert.match(result.stderr, /level=error msg="open .*none\/log: ENOENT"/);
});

test("an unwritable pid file fails create and exec, and no process is left", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "50");
  const pidFile = join(b.folder, "none/pid");
  const failed = b.runc("create", "--pid-file", pidFile, b.id);
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /none\/pid.*ENOENT/);
  assert.equal(existsSync(join(b.root, b.id)), false);
  assert.equal(b.detached("run", "-d", b.id), 0);
  assert.equal(b.detached("exec", "-d", "--pid-file", pidFile, b.id, "sleep", "50"), 255);
  assert.equal(b.detached("exec", "--pid-file", pidFile, b.id, "sleep", "50"), 255);
  assert.equal(JSON.parse(b.runc("ps", "-f", "json", b.id).stdout).length, 1);
});

test("list shows the other containers beside a damaged record", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "50");
  assert.equal(b.detached("run", "-d", b.id), 0);
  mkdirSync(join(b.root, "damaged"));
  writeFileSync(join(b.root, "damaged/record.json"), "{");
  // A container of runc's below the same root.
  mkdirSync(join(b.root, "foreign"));
  writeFileSync(join(b.root, "foreign/state.json"), '{"id":"foreign","init_process_pid":1,"config":{}}');
  const result = b.runc("list", "-q");
  assert.deepEqual([result.status, result.stdout], [0, `${b.id}\n`]);
  assert.match(result.stderr, /level=error msg="container damaged: .*not valid JSON/);
  assert.doesNotMatch(result.stderr, /foreign/);
  assert.match(b.runc("state", "foreign").stderr, /container foreign belongs to another runtime/);
});

test("runc lists and ends a container of berth-runc below a shared root", {
  skip: cannotRun("/usr/sbin/runc") ?? false,
}, async (t) => {
  const b = makeBundle(t);
  b.args("sleep", "50");
  assert.equal(b.detached("run", "-d", b.id), 0);
  const { pid } = JSON.parse(b.runc("state", b.id).stdout);
  const runc = (...args: string[]) =>
    spawnSync("/usr/sbin/runc", ["--root", b.root, ...args], { encoding: "utf8" });
  const listed = runc("list", "--format", "json");
  assert.equal(listed.status, 0, listed.stderr);
  const [shown] = JSON.parse(listed.stdout);
  assert.deepEqual([shown.id, shown.pid, shown.status, shown.bundle], [b.id, pid, "running", b.folder]);
  assert.equal(JSON.parse(runc("state", b.id).stdout).status, "running");
  const ended = runc("delete", "--force", b.id);
  assert.equal(ended.status, 0, ended.stderr);
  await until("its process is gone", () => !existsSync(`/proc/${pid}`) || undefined);
  assert.match(b.runc("state", b.id).stderr, /container does not exist/);
});

test("the systemd driver without systemd leaves no record", {
  skip: existsSync("/run/systemd/private") && "systemd runs here",
}, (t) => {
  const b = makeBundle(t);
  const result = b.runc("--systemd-cgroup", "run", b.id);
  assert.equal(result.status, 1);
  assert.match(result.stderr, /systemd cannot be reached.*hint="the systemd cgroup driver needs/);
  assert.doesNotMatch(result.stderr, /undoing/);
  assert.equal(existsSync(join(b.root, b.id)), false);
});

test("bad bundles are refused by the field's path, and leave nothing", (t) => {
  const b = makeBundle(t);
  const refused = (pattern: RegExp) => {
    const result = b.runc("run", b.id);
    assert.equal(result.status, 1);
    assert.match(result.stderr, pattern);
    assert.equal(existsSync(join(b.root, b.id)), false);
  };
  b.configure((s) => delete s.root);
  refused(/root: found nothing/);
  b.configure((s) => (s.process!.cwd = "relative"));
  refused(/process\.cwd/);
  b.configure((s) => (s.root!.path = "nowhere"));
  refused(/root\.path: found nothing/);
  b.configure((s) =>
    s.mounts!.push({ destination: "/x", type: "bind", source: "/does/not/exist", options: ["bind"] }),
  );
  refused(/cannot take \/does\/not\/exist.*ENOENT/);
  b.configure((s) => s.mounts!.push({ destination: "/x", type: "nosuchfs", source: "none" }));
  refused(/nosuchfs.*ENODEV/);
  b.configure((s) => (s.linux!.cgroupsPath = "/../../x"));
  refused(/cgroupsPath/);
  writeFileSync(join(b.folder, "config.json"), "{ not json");
  refused(/config\.json|JSON/);
  rmSync(join(b.folder, "config.json"));
  refused(/JSON specification file config.json not found/);
  assert.match(b.runc("run", "../evil").stderr, /invalid container id format/);
});

test("programs that cannot be executed, each with its cause", (t) => {
  const b = makeBundle(t);
  const fails = (content: string | Buffer, pattern: RegExp, mode = 0o755) => {
    writeFileSync(join(b.rootfs, "app"), content, { mode });
    const result = runBundle(b, "/app");
    rmSync(join(b.rootfs, "app"));
    assert.notEqual(result.status, 0);
    assert.match(result.stderr, pattern);
  };
  fails("#!/bin/sh\r\necho hi\n", /CR LF/);
  fails("#!/usr/bin/python3\n", /interpreter \/usr\/bin\/python3 is not in the image/);
  fails("echo hi\n", /neither an ELF program nor a script/);
  fails("#!/bin/sh\n", /permission denied/, 0o644);
  const arm = Buffer.alloc(128);
  arm.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  arm.writeUInt16LE(2, 16);
  arm.writeUInt16LE(183, 18);
  fails(arm, /built for AArch64/);
  assert.match(runBundle(b, "/etc").stderr, /is a directory/);
  const cwd = b;
  cwd.configure((s) => (s.process!.cwd = "/missing"));
  assert.equal(cwd.runc("run", cwd.id).status, 0, "a working folder that is missing is made, as runc does");
  cwd.configure((s) => (s.process!.cwd = "/etc/passwd"));
  assert.match(cwd.runc("run", cwd.id).stderr, /working folder \/etc\/passwd.*ENOTDIR/);
});

test("a seccomp profile that refuses all calls, even exit, does not spin", (t) => {
  const b = makeBundle(t);
  b.configure((s) => (s.linux!.seccomp = { defaultAction: "SCMP_ACT_ERRNO" }));
  // It can neither exec, nor report why, nor exit: an illegal instruction (SIGILL, 4) ends it.
  assert.equal(b.runc("run", b.id).status, 128 + 4);
  assert.equal(existsSync(join(b.root, b.id)), false);
});

test("created, then started: exec failures are reported by start", (t) => {
  const b = makeBundle(t);
  writeFileSync(join(b.rootfs, "app"), "#!/nowhere\n", { mode: 0o755 });
  b.args("/app");
  assert.equal(b.detached("create", b.id), 0);
  const started = b.runc("start", b.id);
  assert.equal(started.status, 1);
  assert.match(started.stderr, /interpreter \/nowhere is not in the image/);
});

test("a terminal in the foreground has the caller's size", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.terminal = true;
    s.process!.args = ["sh", "-c", "tty; stty size; [ -c /dev/console ] && echo console"];
  });
  const result = spawnSync(
    "script",
    ["-qec", `stty rows 31 cols 97; ${BERTH_RUNC} --root ${b.root} run ${b.id}`, "/dev/null"],
    { encoding: "utf8", timeout: 20_000, cwd: b.folder },
  );
  assert.match(result.stdout, /\/dev\/(pts\/0|console)\r\n31 97\r\nconsole\r\n/);
  assert.match(
    b.runc("create", b.id).stderr,
    /cannot allocate tty if runc will detach without setting console socket/,
  );
});

test("signals to the foreground runtime reach the container", async (t) => {
  const b = makeBundle(t);
  b.args("sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; while true; do sleep 0.05; done");
  const child = spawn(BERTH_RUNC, ["--root", b.root, "run", b.id], {
    cwd: b.folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (d) => {
    out += d;
  });
  await until("ready", () => out.includes("ready"));
  child.kill("SIGTERM");
  const code = await new Promise((resolve) => child.on("exit", resolve));
  assert.deepEqual([code, out], [3, "ready\ncaught\n"]);
});

test("descriptors: none leak, requested ones are passed", (t) => {
  const b = makeBundle(t);
  const listed = output(b, "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; :").trim();
  assert.equal(listed.replace(/\s+/g, " "), "0 1 2 3", "3 is ls's own folder");
  b.args("sh", "-c", "cat <&3; cat <&4");
  writeFileSync(join(b.folder, "three"), "three ");
  writeFileSync(join(b.folder, "four"), "four");
  const passed = spawnSync(
    "sh",
    ["-c", `exec 3<three 4<four; exec ${BERTH_RUNC} --root ${b.root} run --preserve-fds 2 ${b.id}`],
    { encoding: "utf8", cwd: b.folder, timeout: 20_000 },
  );
  assert.equal(passed.stdout, "three four", passed.stderr);
});

test("run never takes an unreported exit for success", async (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  const runc = spawn(BERTH_RUNC, ["--root", b.root, "run", b.id], {
    cwd: b.folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  runc.stderr.on("data", (chunk) => (stderr += chunk));
  const ended = once(runc, "close");
  await until("the container to run", () => {
    const state = b.runc("state", b.id);
    return state.status === 0 && JSON.parse(state.stdout).status === "running";
  });
  const [parent] = readFileSync(`/proc/${runc.pid}/task/${runc.pid}/children`, "utf8").split(" ");
  assert.match(readFileSync(`/proc/${parent}/cmdline`, "utf8"), /^berth-init/);
  process.kill(Number(parent), "SIGKILL");
  const [code] = await ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /berth-init ended without telling how the container's process did/);
  assert.match(b.runc("state", b.id).stderr, /does not exist/);
});

/** Engines' requests to a running container: limits, statistics, cgroups and sockets of its processes. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { realSys } from "@berth/sys";
import { BERTH_RUNC, makeBundle, traces } from "../support/bundles.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

/** A controller's cgroup of a process in the container. */
function cgroup(pid: number, controller: string): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  const v1 = lines.map((l) => l.split(":")).find((l) => l[1]?.split(",").includes(controller));
  return v1 === undefined
    ? `/sys/fs/cgroup${lines.find((l) => l.startsWith("0::"))!.slice(3)}`
    : `/sys/fs/cgroup/${controller}${v1[2]}`;
}

const isV1 = existsSync("/sys/fs/cgroup/memory");

function started(t: Parameters<typeof makeBundle>[0]) {
  const b = makeBundle(t);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  const { pid } = JSON.parse(b.runc("state", b.id).stdout);
  const read = (controller: string, file: string) =>
    readFileSync(join(cgroup(pid, controller), file), "utf8").trim();
  return { b, pid: pid as number, read };
}

test("update changes the given limits, from flags, a file and standard input", { skip: !isV1 }, (t) => {
  const { b, read } = started(t);
  const limit = "memory.limit_in_bytes";
  const ok = (...args: string[]) => {
    const result = b.runc("update", ...args);
    assert.equal(result.status, 0, result.stderr);
  };
  ok(b.id, "--memory", "64M", "--pids-limit", "30", "--cpu-share", "200");
  assert.deepEqual(
    [read("memory", limit), read("pids", "pids.max"), read("cpu", "cpu.shares")],
    ["67108864", "30", "200"],
  );
  ok("--cpu-period", "100000", "--cpu-quota", "50000", b.id);
  ok("--cpu-period", "20000", b.id, "--cpu-quota", "10000");
  assert.deepEqual([read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")], ["10000", "20000"]);
  assert.equal(read("memory", limit), "67108864");
  writeFileSync(
    join(b.folder, "r.json"),
    JSON.stringify({ memory: { limit: 33554432 }, pids: { limit: -1 } }),
  );
  ok("-r", join(b.folder, "r.json"), b.id);
  assert.deepEqual([read("memory", limit), read("pids", "pids.max")], ["33554432", "max"]);
  const input = spawnSync(BERTH_RUNC, ["--root", b.root, "update", "-r", "-", b.id], {
    input: '{"CPU":{"Shares":300}}',
    encoding: "utf8",
  });
  assert.equal(input.status, 0, input.stderr);
  assert.equal(read("cpu", "cpu.shares"), "300");
  assert.match(b.runc("update", "--memory", "much", b.id).stderr, /invalid value for memory/);
  assert.match(b.runc("update", "--l3-cache-schema", "L3:0=f", b.id).stderr, /Intel RDT/);
  ok("--memory", "-1", b.id);
  assert.notEqual(read("memory", limit), "33554432");
});

test("events --stats prints runc's JSON; without it, events run until the container exits", async (t) => {
  const { b, pid } = started(t);
  const event = JSON.parse(b.runc("events", "--stats", b.id).stdout);
  assert.deepEqual([event.type, event.id, event.data.pids.current], ["stats", b.id, 1]);
  assert.ok(event.data.memory.usage.usage > 0);
  assert.ok(event.data.cpu.usage.total > 0);
  assert.match(b.runc("events", "--interval", "0s", b.id).stderr, /must be greater than 0/);
  const child = spawn(BERTH_RUNC, ["--root", b.root, "events", "--interval", "20ms", b.id], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (data) => {
    text += data;
    if (text.includes("\n")) process.kill(pid, "SIGKILL");
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 0);
  assert.equal(JSON.parse(text.split("\n")[0]!).type, "stats");
  assert.match(b.runc("events", "--stats", b.id).stderr, /is not running/);
  assert.match(b.runc("update", "--pids-limit", "5", b.id).stderr, /not running/);
});

test("exec --cgroup puts the process below the container's cgroup", { skip: !isV1 }, (t) => {
  const { b, pid } = started(t);
  const sub = join(cgroup(pid, "pids"), "sub");
  mkdirSync(sub);
  const inside = b.runc("exec", "--cgroup", "pids:sub", b.id, "cat", "/proc/self/cgroup");
  assert.equal(inside.status, 0, inside.stderr);
  assert.match(inside.stdout, /:pids:.*\/sub$/m);
  assert.doesNotMatch(inside.stdout, /:memory:.*\/sub$/m);
  rmdirSync(sub);
  assert.match(b.runc("exec", "--cgroup", "..", b.id, "true").stderr, /bad sub cgroup path/);
  const missing = b.runc("exec", "--cgroup", "pids:none", b.id, "true");
  assert.equal(missing.status, 255);
  assert.match(missing.stderr, /adding pid to cgroup .*no such file or directory/);
});

test("a container that waits for its start exits on SIGTERM", async (t) => {
  const b = makeBundle(t);
  assert.equal(b.detached("create", b.id), 0);
  assert.equal(b.runc("kill", b.id, "TERM").status, 0);
  while (JSON.parse(b.runc("state", b.id).stdout).status !== "stopped");
});

test("a bind mount with options has those, and none of its source mount", (t) => {
  const b = makeBundle(t);
  const source = join(b.folder, "source");
  mkdirSync(source);
  const flags = (...options: string[]) => {
    b.configure((s) => {
      s.process!.args = ["sh", "-c", "grep ' /mnt ' /proc/self/mounts"];
      s.mounts!.push({ destination: "/mnt", type: "bind", source, options: ["bind", ...options] });
    });
    // A source with restrictions, in a separate mount namespace: the host is not affected.
    const script = `mount -t tmpfs -o nosuid,noexec none "$0" && exec ${BERTH_RUNC} --root ${b.root} run ${b.id}`;
    const result = spawnSync("unshare", ["-m", "sh", "-c", script, source], {
      cwd: b.folder,
      encoding: "utf8",
    });
    assert.equal(result.status, 0, result.stderr);
    return result.stdout.split(" ")[3]!.split(",");
  };
  assert.deepEqual(
    ["nosuid", "noexec"].filter((f) => flags().includes(f)),
    ["nosuid", "noexec"],
  );
  const readonly = flags("ro");
  assert.ok(readonly.includes("ro"));
  assert.deepEqual(
    ["nosuid", "noexec"].filter((f) => readonly.includes(f)),
    [],
  );
});

test("rootfsPropagation shared: mounts propagate out of a shared volume, but not out of the root", (t) => {
  const b = makeBundle(t);
  const volume = join(b.folder, "volume");
  mkdirSync(join(volume, "in"), { recursive: true });
  b.configure((s) => {
    s.process!.args = [
      "sh",
      "-c",
      "mount -t tmpfs carried /volume/in && mount -t tmpfs kept /tmp; grep ' / ' /proc/self/mountinfo",
    ];
    s.root!.readonly = false;
    s.linux!.rootfsPropagation = "rshared";
    s.mounts!.push({ destination: "/volume", type: "bind", source: volume, options: ["rbind", "rshared"] });
    const { capabilities } = s.process!;
    for (const set of ["bounding", "effective", "permitted"] as const)
      capabilities![set]!.push("CAP_SYS_ADMIN");
  });
  // The host's side is a mount namespace of the test, with a shared volume.
  const script = `mount --make-rprivate / && mount --bind "$0" "$0" && mount --make-shared "$0" &&
    ${BERTH_RUNC} --root ${b.root} run ${b.id} && echo == && grep ${b.folder} /proc/self/mountinfo`;
  const result = spawnSync("unshare", ["-m", "sh", "-c", script, volume], {
    cwd: b.folder,
    encoding: "utf8",
  });
  assert.equal(result.status, 0, result.stderr);
  const [inside, outside] = result.stdout.split("==");
  assert.match(inside!, / \/ rw\S* shared:\d+ - /);
  assert.match(outside!, /volume\/in .* carried /);
  assert.doesNotMatch(outside!, /kept|rootfs/);
});

test("without pivot_root an unmasked procfs is not accessible", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = ["unshare", "-mrpf", "sh", "-c", "mount -t proc none /proc && echo bare"];
    // unshare -r maps root, which needs this capability.
    for (const set of ["bounding", "permitted"] as const) s.process!.capabilities![set]!.push("CAP_SETFCAP");
  });
  const { status, stdout, stderr } = b.runc("run", "--no-pivot", b.id);
  assert.notEqual(status, 0, stdout + stderr);
  assert.equal(stdout, "");
  assert.match(stderr, /mount: permission denied/);
  const other = makeBundle(t);
  other.args("ls", "/proc/self/status");
  const own = other.runc("run", "--no-pivot", other.id);
  assert.equal(own.status, 0, own.stderr);
});

test("createContainer hooks begin in the root file system", (t) => {
  const b = makeBundle(t);
  writeFileSync(join(b.rootfs, "mark"), "");
  b.configure((s) => {
    s.process!.args = ["ls", "/made"];
    s.root!.readonly = false;
    s.hooks = {
      createContainer: [{ path: "/bin/sh", args: ["sh", "-c", "test -e ./mark && touch ./made"] }],
    };
  });
  const result = b.runc("run", b.id);
  assert.deepEqual([result.status, result.stdout], [0, "/made\n"], result.stderr);
});

test("a taken cgroup is refused", (t) => {
  const { b } = started(t);
  const other = makeBundle(t);
  other.configure((s) => (s.linux!.cgroupsPath = `/${b.id}`));
  assert.match(other.runc("run", other.id).stderr, /container's cgroup is not empty/);
});

test("kill KILL kills all processes of a container without a pid namespace; kill --all accepts a stopped one", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = ["sh", "-c", "sleep 100 & sleep 100"];
    s.linux!.namespaces = s.linux!.namespaces!.filter((n) => n.type !== "pid");
  });
  assert.equal(b.detached("run", "-d", b.id), 0);
  const pids: number[] = JSON.parse(b.runc("ps", "-f", "json", b.id).stdout);
  assert.equal(b.runc("kill", b.id, "KILL").status, 0);
  assert.equal(b.runc("delete", "--force", b.id).status, 0);
  const alive = (pid: number) =>
    existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  assert.ok(pids.length >= 2);
  assert.deepEqual(pids.filter(alive), []);

  const { b: c, pid } = started(t);
  process.kill(pid, "SIGKILL");
  while (JSON.parse(c.runc("state", c.id).stdout).status !== "stopped");
  assert.match(c.runc("kill", c.id, "0").stderr, /container not running/);
  assert.equal(c.runc("kill", "--all", c.id, "0").status, 0);
  assert.equal(c.runc("delete", "--regex", `^${c.id}$`).status, 0);
  assert.equal(c.runc("list", "-q").stdout, "");
});

test("--pidfd-socket receives the process; LISTEN_FDS passes sockets on", async (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  const path = join(b.folder, "pidfd.sock");
  const name = new Promise<string>((resolve) => {
    const server = createServer((socket) => {
      socket.on("data", (data) => {
        resolve(String(data));
        socket.end();
        server.close();
      });
    }).listen(path);
  });
  await new Promise((resolve) => setImmediate(resolve));
  const run = spawn(BERTH_RUNC, ["--root", b.root, "run", "-d", "--pidfd-socket", path, b.id], {
    cwd: b.folder,
    stdio: "ignore",
  });
  assert.equal(await new Promise((resolve) => run.on("exit", resolve)), 0);
  assert.equal(await name, "pidfd");

  const c = makeBundle(t);
  c.args("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cat <&3");
  writeFileSync(join(c.folder, "passed"), "through");
  // LISTEN_PID must be the runtime's own pid: a shell execs the runtime.
  const shell = spawnSync(
    "sh",
    [
      "-c",
      `exec 3<passed; export LISTEN_FDS=1 LISTEN_PID=$$; exec ${BERTH_RUNC} --root ${c.root} run ${c.id}`,
    ],
    { cwd: c.folder, encoding: "utf8" },
  );
  assert.equal(shell.stdout, "1 1\nthrough", shell.stderr);
});

test("NOTIFY_SOCKET: READY=1 reaches the manager with the main process's pid", async (t) => {
  const b = makeBundle(t);
  b.args("sh", "-c", "test $NOTIFY_SOCKET = /run/notify/notify.sock && ls -l $NOTIFY_SOCKET && sleep 100");
  const manager = join(b.folder, "manager.sock");
  const fd = realSys.bindDatagram(manager);
  t.after(() => realSys.close(fd));
  const run = spawn(BERTH_RUNC, ["--root", b.root, "run", "-d", b.id], {
    cwd: b.folder,
    env: { ...process.env, NOTIFY_SOCKET: manager },
    stdio: "ignore",
  });
  const path = join(b.root, b.id, "notify/notify.sock");
  const ended = new Promise((resolve) => run.on("exit", resolve));
  while (!existsSync(path)) {
    assert.equal(run.exitCode, null);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const container = realSys.connectUnix(path, "datagram");
  realSys.write(container, Buffer.from("STATUS=soon\n"));
  realSys.write(container, Buffer.from("READY=1"));
  realSys.close(container);
  const next = async () => Buffer.from(await realSys.read(fd, 4096)).toString();
  const messages = [await next(), await next(), await next()];
  assert.equal(await ended, 0);
  const { pid } = JSON.parse(b.runc("state", b.id).stdout);
  assert.deepEqual(messages, ["READY=1\n", `MAINPID=${pid}\n`, "BARRIER=1"]);
});

test("NOTIFY_SOCKET: the wait for READY ends when the container exits", (t) => {
  const b = makeBundle(t);
  b.args("true");
  const result = spawnSync(BERTH_RUNC, ["--root", b.root, "run", b.id], {
    cwd: b.folder,
    encoding: "utf8",
    env: { ...process.env, NOTIFY_SOCKET: join(b.folder, "none.sock") },
    timeout: 20_000,
  });
  assert.equal(result.status, 0, result.stderr);
});

test("--debug logs the steps in logrus' format, to the log file if there is one", (t) => {
  const b = makeBundle(t);
  b.args("true");
  const log = join(b.folder, "log.json");
  const quiet = b.runc("--debug", "--log", log, "--log-format", "json", "run", b.id);
  assert.deepEqual([quiet.status, quiet.stderr], [0, ""]);
  const lines = readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((l) => JSON.parse(l));
  assert.ok(lines.some((l) => l.level === "debug" && l.msg === "starting berth-init" && l.operations > 20));
  b.configure((s) => s.process!.capabilities!.bounding!.push("CAP_NONSENSE"));
  assert.match(b.runc("run", b.id).stderr, /level=warning msg=".*ignoring CAP_NONSENSE/);
  assert.match(b.runc("--log-level", "loud", "list").stderr, /--log-level: found .*loud/);
  assert.match(b.runc("--root", join(b.folder, "nowhere"), "list").stderr, /no such file or directory/);
});

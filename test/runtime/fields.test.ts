/** Fields of config.json beyond the default bundle: clocks, owners, mounts, scheduling, agents. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import type { Seccomp, Spec } from "@berth/oci";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "../support/bundles.ts";
import { ROOT } from "../support/checkout.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

/** Runs a shell script in a container with a modified spec; returns its output, or fails. */
function script(b: Bundle, text: string, change: (spec: Spec) => void = () => {}): string {
  b.configure((s) => {
    s.process!.args = ["sh", "-c", text];
    change(s);
  });
  const result = b.runc("run", b.id);
  assert.equal(result.status, 0, result.stderr + result.stdout);
  return result.stdout;
}

/** Starts a container that sleeps, with the modified spec. */
function sleeper(b: Bundle, change: (spec: Spec) => void): void {
  b.configure((s) => {
    s.process!.args = ["sleep", "100"];
    change(s);
  });
  assert.equal(b.detached("run", "-d", b.id), 0, b.runc("run", b.id).stderr);
}

const userNamespace = (s: Spec) => {
  s.linux!.namespaces!.push({ type: "user" });
  s.linux!.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
  s.linux!.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
};

test("a time namespace moves the clocks, for exec'd processes too", (t) => {
  const b = makeBundle(t);
  sleeper(b, (s) => {
    s.linux!.namespaces!.push({ type: "time" });
    s.linux!.timeOffsets = { monotonic: { secs: 7881, nanosecs: 2 }, boottime: { secs: 1337 } };
  });
  const offsets = b.runc("exec", b.id, "cat", "/proc/self/timens_offsets").stdout;
  assert.match(offsets, /monotonic\s+7881\s+2\n/);
  assert.match(offsets, /boottime\s+1337\s+0\n/);
});

test("a time namespace beside a user namespace", (t) => {
  const b = makeBundle(t);
  const seen = script(b, "cat /proc/self/timens_offsets", (s) => {
    userNamespace(s);
    s.linux!.namespaces!.push({ type: "time" });
    s.linux!.timeOffsets = { boottime: { secs: 42 } };
  });
  assert.match(seen, /boottime\s+42\s+0\n/);
});

test("id-mapped mounts show mapped owners, below them too when asked, and nothing is chowned", (t) => {
  const b = makeBundle(t);
  const data = join(b.folder, "data");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "x");
  chownSync(join(data, "file"), 1, 2);
  const mapping = (hostID: number) => [{ containerID: 0, hostID, size: 1000 }];
  const seen = script(b, "stat -c %u:%g /a/file /b/file; touch /a/new && stat -c %u:%g /a/new", (s) => {
    const mount = { type: "bind", source: data };
    s.mounts!.push({
      ...mount,
      destination: "/a",
      options: ["bind", "idmap"],
      uidMappings: mapping(0),
      gidMappings: mapping(0),
    });
    s.mounts!.push({
      ...mount,
      destination: "/b",
      options: ["rbind", "ridmap"],
      uidMappings: mapping(5000),
      gidMappings: mapping(7000),
    });
  });
  assert.equal(seen, "1:2\n5001:7002\n0:0\n");
  assert.equal(statSync(join(data, "file")).uid, 1);
});

test("an id-mapped mount without mappings uses those of the user namespace", (t) => {
  const b = makeBundle(t);
  const data = join(b.folder, "data");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "x");
  mkdirSync(join(b.rootfs, "data"));
  const seen = script(b, "stat -c %u:%g /data/file", (s) => {
    userNamespace(s);
    s.mounts!.push({ destination: "/data", type: "bind", source: data, options: ["bind", "idmap"] });
  });
  assert.equal(seen, "0:0\n");
});

test("an id-mapped mount below a user namespace can show files from an earlier mount in the root", (t) => {
  const b = makeBundle(t);
  const data = join(b.folder, "data");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "x");
  const [within, seenAt] = [join(b.rootfs, "within"), join(b.rootfs, "seen")];
  for (const folder of [within, seenAt]) mkdirSync(folder);
  const calls = join(b.folder, "calls");
  const seen = script(b, "stat -c %u:%g /within/file /seen/file", (s) => {
    userNamespace(s);
    s.mounts!.push(
      { destination: "/within", type: "bind", source: data, options: ["bind"] },
      { destination: "/seen", type: "bind", source: within, options: ["bind", "idmap"] },
    );
    // The parent's part of it comes before the hooks'.
    s.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", `echo called >${calls}`] }] };
  });
  assert.equal(seen, "65534:65534\n0:0\n");
  assert.equal(readFileSync(calls, "utf8"), "called\n");
  assert.equal(statSync(join(data, "file")).uid, 0);
});

test("an id-mapped mount without any mapping is refused by its destination", (t) => {
  const b = makeBundle(t);
  b.configure((s) =>
    s.mounts!.push({ destination: "/data", type: "bind", source: b.folder, options: ["bind", "idmap"] }),
  );
  assert.match(b.runc("run", b.id).stderr, /mount on \/data: found no mappings for an id-mapped mount/);
});

test("tmpcopyup: a tmpfs starts with a copy of the image's files, including owners, modes and links", (t) => {
  const b = makeBundle(t);
  const folder = join(b.rootfs, "etc/deep/er");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "file"), "content", { mode: 0o604 });
  chownSync(join(folder, "file"), 3, 4);
  symlinkSync("er/file", join(b.rootfs, "etc/deep/link"));
  const seen = script(
    b,
    "cat /etc/deep/link; stat -c ' %a %u:%g' /etc/deep/er/file; touch /etc/new; grep -c 'tmpfs /etc ' /proc/self/mounts",
    (s) => s.mounts!.push({ destination: "/etc", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] }),
  );
  assert.equal(seen, "content 604 3:4\n1\n");
  assert.throws(() => statSync(join(b.rootfs, "etc/new")), /ENOENT/);
});

test("a tmpfs has the permissions of the folder it covers", (t) => {
  const b = makeBundle(t);
  mkdirSync(join(b.rootfs, "secret"), { mode: 0o710 });
  const seen = script(b, "stat -c %a /secret /fresh", (s) => {
    s.mounts!.push({ destination: "/secret", type: "tmpfs" }, { destination: "/fresh", type: "tmpfs" });
  });
  assert.equal(seen, "710\n1777\n");
});

test("remount changes an existing mount", (t) => {
  const b = makeBundle(t);
  const data = join(b.folder, "data");
  mkdirSync(data);
  const seen = script(b, "touch /data/x || echo refused; grep 'tmpfs /t ' /proc/self/mounts", (s) => {
    s.mounts!.push({ destination: "/data", type: "bind", source: data, options: ["bind"] });
    s.mounts!.push({ destination: "/data", type: "bind", source: data, options: ["bind", "remount", "ro"] });
    s.mounts!.push({ destination: "/t", type: "tmpfs" });
    s.mounts!.push({ destination: "/t", type: "tmpfs", options: ["remount", "size=64k"] });
  });
  assert.match(seen, /^refused\n/);
  assert.match(seen, /size=64k/);
});

test("in a user namespace, a bind mount does not lift restrictions of the host mount", (t) => {
  const b = makeBundle(t);
  const strict = join(b.folder, "strict");
  mkdirSync(strict);
  const script = 'mount -t tmpfs tmpfs "$1"; mount -o remount,bind,ro,nosuid,noatime "$1"; shift; exec "$@"';
  const attempt = (user: boolean, ...options: string[]) => {
    b.configure((s) => {
      if (user) userNamespace(s);
      s.process!.args = ["grep", " /tmp ", "/proc/self/mounts"];
      s.mounts!.push({ destination: "/tmp", type: "bind", source: strict, options: ["bind", ...options] });
    });
    const command = ["sh", "-c", script, "sh", strict, BERTH_RUNC, "--root", b.root, "run", b.id];
    const ran = spawnSync("unshare", ["-m", ...command], {
      cwd: b.folder,
      encoding: "utf8",
      timeout: 20_000,
    });
    return ran.stdout + ran.stderr;
  };
  const refused = /error mounting .*strict.* to rootfs at .*operation not permitted/;
  assert.match(attempt(false, "rw"), / tmpfs rw,/);
  for (const option of ["rw", "suid", "strictatime", "relatime", "nodiratime"])
    assert.match(attempt(true, option), refused, option);
  assert.match(attempt(true, "ro", "noexec", "noatime"), / ro,nosuid,noexec,noatime/);
  assert.match(attempt(true, "nostrictatime"), / ro,nosuid,noatime/);
});

test("a bind source inside the root sees earlier mounts", (t) => {
  for (const change of [() => {}, userNamespace]) {
    const b = makeBundle(t);
    const data = join(b.folder, "data");
    mkdirSync(data);
    writeFileSync(join(data, "file"), "from the first mount");
    for (const name of ["one", "two"]) mkdirSync(join(b.rootfs, name));
    const seen = script(b, "cat /two/file", (s) => {
      change(s);
      s.mounts!.push({ destination: "/one", type: "bind", source: data, options: ["rbind"] });
      s.mounts!.push({
        destination: join(b.rootfs, "two"),
        type: "bind",
        source: join(b.rootfs, "one"),
        options: ["rbind"],
      });
    });
    assert.equal(seen, "from the first mount");
  }
});

test("a mount target that is a dangling link resolves inside the root", (t) => {
  const b = makeBundle(t);
  symlinkSync("/tmp/not/there/yet", join(b.rootfs, "jump"));
  symlinkSync("/jump/file", join(b.rootfs, "etc/place"));
  writeFileSync(join(b.folder, "file"), "bound");
  const seen = script(b, "cat /tmp/not/there/yet/file", (s) =>
    s.mounts!.push({ destination: "/etc/place", source: join(b.folder, "file"), options: ["bind"] }),
  );
  assert.equal(seen, "bound");
});

test("without a mount namespace the container shares the caller's, and its root is in no mount table", (t) => {
  const b = makeBundle(t);
  const seen = script(b, "ls /; readlink /proc/self/ns/mnt", (s) => {
    s.linux!.namespaces = s.linux!.namespaces!.filter((n) => n.type !== "mount");
    s.linux!.maskedPaths = [];
    s.linux!.readonlyPaths = [];
  });
  assert.match(seen, new RegExp(`\\n${readlinkSync("/proc/self/ns/mnt").replace(/[[\]]/g, "\\$&")}\n$`));
  assert.match(seen, /bin\ndev\netc\n/);
});

test("a mount namespace is joined by path, with the container's own root", async (t) => {
  const holder = spawn("unshare", ["-m", "--propagation", "private", "sh", "-c", "echo in; exec sleep 60"]);
  t.after(() => holder.kill("SIGKILL"));
  await once(holder.stdout, "data");
  const b = makeBundle(t);
  const seen = script(b, "readlink /proc/self/ns/mnt; ls /", (s) => {
    const mounts = s.linux!.namespaces!.find((n) => n.type === "mount")!;
    mounts.path = `/proc/${holder.pid}/ns/mnt`;
  });
  assert.equal(seen.split("\n")[0], readlinkSync(`/proc/${holder.pid}/ns/mnt`));
  assert.match(seen, /\nbin\n/);
});

test("createRuntime hooks run after the container's mounts, and before its root is in place", (t) => {
  const b = makeBundle(t);
  const look = `pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/'); nsenter -t $pid -m sh -c 'echo from the hook > "${b.rootfs}/tmp/hook"; grep -c "${b.rootfs}/proc " /proc/mounts > "${b.rootfs}/tmp/count"'`;
  const seen = script(b, "cat /tmp/hook /tmp/count", (s) => {
    s.root!.readonly = false;
    s.mounts!.push({ destination: "/tmp", type: "tmpfs" });
    s.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", look], env: ["PATH=/usr/bin:/bin"] }] };
  });
  assert.equal(seen, "from the hook\n1\n");
});

test("a failing poststart hook stops the container and fails the start", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = ["sleep", "100"];
    s.hooks = { poststart: [{ path: "/bin/false" }] };
  });
  assert.equal(b.detached("create", b.id), 0);
  const started = b.runc("start", b.id);
  assert.match(started.stderr, /error running poststart hook #0: exit status 1/);
  assert.equal(started.status, 1);
  assert.match(b.runc("state", b.id).stdout, /"status": "stopped"/);
});

test("startContainer hooks have the process's environment unless they have their own", (t) => {
  const b = makeBundle(t);
  const seen = script(b, "cat /tmp/env", (s) => {
    s.root!.readonly = false;
    s.process!.env = ["ONE=two", "PATH=/bin"];
    s.hooks = {
      startContainer: [{ path: "/bin/sh", args: ["sh", "-c", "echo $ONE $HOME > /tmp/env"] }],
    };
  });
  assert.equal(seen, "two /root\n");
});

test("scheduler, IO priority and memory policy of the process, and of exec'd ones", (t) => {
  const b = makeBundle(t);
  symlinkSync("busybox", join(b.rootfs, "bin/ionice"));
  sleeper(b, (s) => {
    s.process!.scheduler = { policy: "SCHED_BATCH", nice: 5 };
    s.process!.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 6 };
    s.linux!.memoryPolicy = { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] };
  });
  const seen = b.runc(
    "exec",
    b.id,
    "sh",
    "-c",
    "grep policy /proc/1/sched; ionice -p 1; head -n 1 /proc/1/numa_maps",
  );
  assert.match(seen.stdout, /policy\s*:\s*3\n/);
  assert.match(seen.stdout, /best-effort: prio 6/);
  assert.match(seen.stdout, /bind=static:0/);
  const own = b.runc(
    "exec",
    b.id,
    "sh",
    "-c",
    "grep policy /proc/self/sched; head -n 1 /proc/self/numa_maps",
  ).stdout;
  assert.match(own, /policy\s*:\s*3\n/);
  assert.match(own, /bind=static:0/);
});

test("a memory policy or CPU list that is invalid is refused by its field", (t) => {
  const b = makeBundle(t);
  const refused = (change: (spec: Spec) => void) => {
    b.configure(change);
    return b.runc("run", b.id).stderr;
  };
  const policy = (value: object) => refused((s) => (s.linux!.memoryPolicy = value));
  assert.match(policy({}), /linux.memoryPolicy.mode: invalid memory policy mode: found nothing/);
  assert.match(policy({ mode: "MPOL_BIND" }), /memoryPolicy.nodes: .*requires at least one node/);
  assert.match(policy({ mode: "MPOL_LOCAL", nodes: "0-3" }), /requires 0 nodes but got 4/);
  assert.match(policy({ mode: "MPOL_BIND", nodes: "0-99999999999" }), /invalid memory policy node/);
  assert.match(policy({ mode: "MPOL_BIND", nodes: "0", flags: ["X"] }), /invalid memory policy flag/);
});

test("the caller's CPU affinity is not inherited; an exec gets the CPUs it asks for", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = ["grep", "Cpus_allowed_list", "/proc/self/status"];
  });
  const all = execFileSync("grep", ["Cpus_allowed_list", "/proc/self/status"], { encoding: "utf8" });
  const bin = join(ROOT, "bin/berth-runc");
  const bound = execFileSync("taskset", ["-c", "0", bin, "--root", b.root, "run", b.id], {
    cwd: b.folder,
    encoding: "utf8",
  });
  assert.equal(bound, all);
  sleeper(b, (s) => {
    s.process!.execCPUAffinity = { initial: "0", final: "0" };
  });
  assert.match(b.runc("exec", b.id, "grep", "Cpus_allowed_list", "/proc/self/status").stdout, /\t0\n/);
});

test("a personality applies to exec'd processes too", (t) => {
  const b = makeBundle(t);
  symlinkSync("busybox", join(b.rootfs, "bin/uname"));
  if (process.arch !== "x64") return t.skip("LINUX32 changes uname on x86-64");
  sleeper(b, (s) => {
    s.linux!.personality = { domain: "LINUX32" };
  });
  assert.equal(b.runc("exec", b.id, "uname", "-m").stdout, "i686\n");
});

/** Runs a bundle in a network namespace of the test, which has a pair of devices, "v0" with addresses. */
function withDevices(b: Bundle): string {
  const script = `ip link add v0 type veth peer name v1
ip addr add 10.9.8.7/24 brd + dev v0; ip -6 addr add fd00:9::7/64 nodad dev v0; ip addr add 169.254.3.4/16 scope link dev v0
ip link set v1 up; ip link set v0 up; "$@"; code=$?; ip -o link; exit $code`;
  const ran = spawnSync(
    "unshare",
    ["-n", "sh", "-c", script, "sh", BERTH_RUNC, "--root", b.root, "run", b.id],
    {
      cwd: b.folder,
      encoding: "utf8",
      timeout: 20_000,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  return `${ran.stdout}${ran.stderr}`;
}

for (const [kind, change] of [
  ["a new network namespace", () => {}],
  ["a user namespace too", userNamespace],
] as const) {
  test(`a network device moves into ${kind}, with a new name and its addresses`, (t) => {
    const b = makeBundle(t);
    b.configure((s) => {
      change(s);
      s.process!.args = ["ip", "addr", "show", "dev", "eth0"];
      s.linux!.netDevices = { v0: { name: "eth0" } };
    });
    const seen = withDevices(b);
    assert.match(seen, /eth0@\w+: <[^>]*\bUP\b/);
    assert.match(seen, /inet 10\.9\.8\.7\/24 brd 10\.9\.8\.255 /);
    assert.match(seen, /inet6 fd00:9::7\/64 scope global/);
    assert.doesNotMatch(seen, /169\.254\.3\.4/);
    assert.doesNotMatch(seen, /^\d+: v0/m, "the host has it no more");
  });
}

test("a missing network device, or one without a target namespace, is refused by name", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.linux!.netDevices = { nosuch0: {} };
  });
  assert.match(withDevices(b), /linux.netDevices\[\\*"nosuch0\\*"\]: the host has no such network device/);
  b.configure((s) => {
    s.linux!.netDevices = { v0: { name: "much too long a name" } };
  });
  assert.match(withDevices(b), /expected a network device's name/);
});

/** Starts the agent of test/runtime/seccomp/agent.c; resolves once it listens. */
async function agent(t: { after(f: () => void): void }, b: Bundle) {
  const program = join(b.folder, "agent");
  execFileSync("cc", ["-O1", "-o", program, join(ROOT, "test/runtime/seccomp/agent.c")]);
  const socket = join(b.folder, "agent.sock");
  const child = spawn(program, [socket], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, "ready");
  return { socket, state: async () => JSON.parse((await lines.next()).value!) };
}

const notify = (socket: string): Seccomp => ({
  defaultAction: "SCMP_ACT_ALLOW",
  listenerPath: socket,
  listenerMetadata: "who knows",
  syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" }],
});

for (const noNewPrivileges of [false, true]) {
  test(`SCMP_ACT_NOTIFY: the agent gets the listener and answers (noNewPrivileges ${noNewPrivileges})`, async (t) => {
    const b = makeBundle(t);
    const { socket, state } = await agent(t, b);
    const seen = script(b, "mkdir /dev/shm/x 2>&1; true", (s) => {
      s.process!.noNewPrivileges = noNewPrivileges;
      s.linux!.seccomp = notify(socket);
    });
    assert.match(seen, /No medium found/);
    const received = await state();
    assert.deepEqual(received.fds, ["seccompFd"]);
    assert.equal(received.metadata, "who knows");
    assert.equal(received.state.id, b.id);
    assert.equal(received.state.status, "creating");
    assert.ok(received.pid > 0 && received.state.pid === received.pid);
  });
}

test("SCMP_ACT_NOTIFY: an exec'd process has its own listener, along with the container's state", async (t) => {
  const b = makeBundle(t);
  const { socket, state } = await agent(t, b);
  // The container's own process has no filter: its agent would be busy for as long as it lives.
  sleeper(b, () => {});
  const pid = JSON.parse(b.runc("state", b.id).stdout).pid;
  const spec = join(b.root, b.id, "spec.json");
  const saved = JSON.parse(execFileSync("cat", [spec], { encoding: "utf8" }));
  writeFileSync(spec, JSON.stringify({ ...saved, linux: { ...saved.linux, seccomp: notify(socket) } }));
  assert.match(b.runc("exec", b.id, "mkdir", "/dev/shm/y").stderr, /No medium found/);
  const received = await state();
  assert.equal(received.state.pid, pid);
  assert.notEqual(received.pid, pid);
});

test("SCMP_ACT_NOTIFY without an agent: the error names the socket, and nothing is left", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.linux!.seccomp = notify(join(b.folder, "nobody.sock"));
  });
  const { status, stderr } = b.runc("run", b.id);
  assert.equal(status, 1);
  assert.match(stderr, /failed to connect with seccomp agent at .*nobody.sock: ENOENT/);
});

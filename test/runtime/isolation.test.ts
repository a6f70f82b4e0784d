/** A container's view and privileges: every field of the default bundle, and images that try to escape. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dockerSeccomp, machineOfNodeArch, type Spec } from "@berth/oci";
import { BERTH_RUNC, type Bundle, makeBundle, output, runBundle, traces } from "../support/bundles.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

/** Runs a shell script in a container with a modified spec; returns its output, or fails. */
function script(b: Bundle, text: string, change: (spec: Spec) => void = () => {}): string {
  b.configure((s) => {
    change(s);
    s.process!.args = ["sh", "-c", text];
  });
  const result = b.runc("run", b.id);
  assert.equal(result.status, 0, result.stderr + result.stdout);
  return result.stdout;
}

test("namespaces are new, the network has its loopback up", (t) => {
  const b = makeBundle(t);
  const links = script(
    b,
    "for n in pid net ipc uts mnt; do readlink /proc/self/ns/$n; done; ip addr show lo; hostname",
  ).split("\n");
  ["pid", "net", "ipc", "uts", "mnt"].forEach((n, i) => {
    assert.notEqual(links[i], readlinkSync(`/proc/self/ns/${n}`));
  });
  assert.match(links.join("\n"), /127\.0\.0\.1/);
  assert.match(links.join("\n"), /\nrunc\n/);
});

test("a cgroup namespace shows the container's own cgroup as the root", (t) => {
  const b = makeBundle(t);
  const seen = script(b, "cat /proc/self/cgroup", (s) => s.linux!.namespaces!.push({ type: "cgroup" }));
  for (const line of seen.trim().split("\n")) assert.match(line, /:\/$/);
});

test("mount options match the bundle", (t) => {
  const b = makeBundle(t);
  mkdirSync(join(b.folder, "data"));
  writeFileSync(join(b.folder, "file"), "bound");
  const seen = script(
    b,
    "cat /proc/self/mounts; cat /made/file; touch /data/x && echo wrote; touch /tmp2/x || echo refused",
    (s) => {
      s.mounts!.push(
        { destination: "/data", type: "bind", source: "data", options: ["bind", "rw", "nosuid", "noexec"] },
        { destination: "/made/file", type: "bind", source: join(b.folder, "file"), options: ["bind", "ro"] },
        { destination: "/tmp2", type: "tmpfs", source: "tmpfs", options: ["ro", "size=1m", "noatime"] },
      );
    },
  );
  assert.match(seen, / \/data \w+ rw,nosuid,noexec,/);
  assert.match(seen, / \/made\/file \w+ ro,/);
  assert.match(seen, /tmpfs \/tmp2 tmpfs ro,noatime,size=1024k/);
  assert.match(seen, /bound/);
  assert.match(seen, /wrote\nrefused/);
  assert.ok(existsSync(join(b.folder, "data/x")));
});

test("/dev has its nodes and links, /proc its masks, / is read-only", (t) => {
  const b = makeBundle(t);
  const seen = script(
    b,
    "ls -l /dev; echo x > /dev/null && echo null; head -c 4 /dev/zero | wc -c; readlink /dev/ptmx; cat /proc/keys | wc -c; ls /proc/acpi /sys/firmware | grep -v : | wc -w; echo 1 > /proc/sys/kernel/panic || echo readonly; touch /x || echo ro",
  );
  assert.match(seen, /full\n[\s\S]*urandom[\s\S]*zero/);
  assert.match(seen, /null\n4\npts\/ptmx\n0\n0\nreadonly\nro\n/);
});

test("extra devices are created, and the cgroup permits only those", (t) => {
  const b = makeBundle(t);
  const seen = script(b, "stat -c '%t:%T %a %u' /dev/fuse2; cat /dev/kmsg2 2>&1 | head -c 200", (s) => {
    s.linux!.devices = [
      { path: "/dev/fuse2", type: "c", major: 10, minor: 229, fileMode: 0o640, uid: 5, gid: 0 },
      { path: "/dev/kmsg2", type: "c", major: 1, minor: 11, fileMode: 0o666 },
    ];
    s.linux!.resources = { devices: [{ allow: false, access: "rwm" }] };
  });
  assert.match(seen, /a:e5 640 5/);
  assert.match(seen, /Operation not permitted/);
});

test("user, groups, umask, environment, home, folder, limits", (t) => {
  const b = makeBundle(t);
  const seen = script(
    b,
    "id; umask; echo $A $HOME; pwd; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj",
    (s) => {
      s.process!.user = { uid: 1000, gid: 50, additionalGids: [7, 8], umask: 0o027 };
      s.process!.env = ["PATH=/bin", "A=1"];
      s.process!.cwd = "/tmp";
      s.process!.rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }];
      s.process!.oomScoreAdj = 500;
    },
  );
  assert.match(seen, /uid=1000\(user\) gid=50 groups=7,8\n0027\n1 \/home\/user\n\/tmp\n100\n200\n500\n/);
});

test("the five capability sets and no_new_privs", (t) => {
  const b = makeBundle(t);
  const status = (spec: (s: Spec) => void) =>
    Object.fromEntries(
      script(b, "cat /proc/self/status", spec)
        .split("\n")
        .map((l) => l.split(":\t")),
    );
  const seen = status((s) => {
    s.process!.capabilities = {
      bounding: ["CAP_CHOWN", "CAP_KILL"],
      permitted: ["CAP_CHOWN", "CAP_KILL"],
      effective: ["CAP_KILL"],
      inheritable: ["CAP_CHOWN"],
      ambient: ["CAP_CHOWN"],
    };
    s.process!.user = { uid: 1000, gid: 1000 };
  });
  // Not root: exec keeps ambient capabilities.
  assert.deepEqual(
    [seen.CapInh, seen.CapPrm, seen.CapEff, seen.CapBnd, seen.CapAmb],
    ["1", "1", "1", "21", "1"].map((x) => x.padStart(16, "0")),
  );
  assert.equal(seen.NoNewPrivs, "1");
  assert.equal(status((s) => (s.process!.noNewPrivileges = false)).NoNewPrivs, "0");
});

test("docker's seccomp profile: with and without no_new_privs", (t) => {
  const b = makeBundle(t);
  for (const noNewPrivileges of [true, false]) {
    const seen = script(
      b,
      "grep Seccomp: /proc/self/status; unshare -U true 2>&1; mount -t tmpfs x /tmp 2>&1; echo fine",
      (s) => {
        s.process!.noNewPrivileges = noNewPrivileges;
        s.linux!.seccomp = dockerSeccomp({
          machine: machineOfNodeArch(process.arch)!,
          capabilities: s.process!.capabilities!.bounding!,
          kernel: [6, 1],
        } as never);
      },
    );
    assert.match(seen, /Seccomp:\t2\n/);
    assert.match(seen, /fine/);
  }
});

test("a seccomp profile from before close_range and faccessat2 works", (t) => {
  const b = makeBundle(t);
  const newer = new Set(["close_range", "faccessat2", "openat2", "statx", "clone3"]);
  const seen = script(b, "echo fine", (s) => {
    s.process!.noNewPrivileges = false;
    const profile = dockerSeccomp({
      machine: machineOfNodeArch(process.arch)!,
      capabilities: s.process!.capabilities!.bounding!,
    });
    profile.defaultErrnoRet = 1;
    for (const rule of profile.syscalls!) rule.names = rule.names.filter((name) => !newer.has(name));
    profile.syscalls = profile.syscalls!.filter((rule) => rule.names.length > 0);
    s.linux!.seccomp = profile;
  });
  assert.equal(seen, "fine\n");
});

test("a seccomp rule returns its errno", (t) => {
  const b = makeBundle(t);
  const seen = script(b, "mkdir /tmp/x 2>&1; echo done", (s) => {
    s.root!.readonly = false;
    s.linux!.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
    };
  });
  assert.match(seen, /No space left on device\ndone/);
});

test("a user namespace: root inside is nobody outside, /dev works, mounts work", (t) => {
  const b = makeBundle(t);
  const seen = script(
    b,
    "id -u; cat /proc/self/uid_map; echo x > /dev/null && echo null; ls -ln /etc/passwd; mount | grep -c tmpfs",
    (s) => {
      s.linux!.namespaces!.push({ type: "user" });
      s.linux!.uidMappings = [{ containerID: 0, hostID: 200000, size: 65536 }];
      s.linux!.gidMappings = [{ containerID: 0, hostID: 200000, size: 65536 }];
    },
  );
  assert.match(seen, /^0\n +0 +200000 +65536\nnull\n/);
  assert.match(seen, / 65534 /, "the image's files belong to ids that are not mapped");
});

test("sysctls are set in the container's namespaces only", (t) => {
  const b = makeBundle(t);
  const own = readFileSync("/proc/sys/kernel/shmmni", "utf8");
  assert.equal(
    script(
      b,
      "cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_forward",
      (s) => (s.linux!.sysctl = { "kernel.shmmni": "1234", "net.ipv4.ip_forward": "1" }),
    ),
    "1234\n1\n",
  );
  assert.equal(readFileSync("/proc/sys/kernel/shmmni", "utf8"), own);
});

test("memory, cpu and pids limits reach the cgroup and hold", (t) => {
  const b = makeBundle(t);
  const seen = script(
    b,
    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/memory.max; (for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2 & done; wait) 2>&1 || echo held",
    (s) => {
      s.linux!.namespaces!.push({ type: "cgroup" });
      s.linux!.resources = {
        memory: { limit: 64 << 20 },
        cpu: { quota: 50000, period: 100000 },
        pids: { limit: 5 },
      };
    },
  );
  assert.match(seen, /^67108864\n50000\n5\n[\s\S]*can't fork[\s\S]*held/);
  assert.match(b.runc("list").stdout, /^ID/);
});

test("the out-of-memory killer kills a process that exceeds the limit", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.args = [
      "sh",
      "-c",
      "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; sleep 0.1; dd if=/dev/zero of=/dev/null bs=90M count=1",
    ];
    s.linux!.resources = { memory: { limit: 32 << 20, swap: 32 << 20 } };
  });
  assert.equal(b.runc("run", b.id).status, 137);
});

test("hooks run in order, in their namespaces, with the state on stdin", (t) => {
  const b = makeBundle(t);
  const log = join(b.folder, "hooks");
  const hook = (name: string) => ({
    path: "/bin/sh",
    args: ["sh", "-c", `echo ${name} $(readlink /proc/self/ns/net) $(cat) >> ${log}`],
    timeout: 5,
  });
  b.configure((s) => {
    s.process!.args = ["true"];
    s.mounts!.push({ destination: log, type: "bind", source: log, options: ["bind"] });
    s.hooks = {
      prestart: [hook("prestart")],
      createRuntime: [hook("createRuntime")],
      createContainer: [hook("createContainer")],
      startContainer: [
        {
          path: "/bin/sh",
          args: ["sh", "-c", `echo startContainer $(readlink /proc/self/ns/net) $(cat) >> ${log}`],
        },
      ],
      poststart: [hook("poststart")],
      poststop: [hook("poststop")],
    };
  });
  writeFileSync(log, "");
  const result = b.runc("run", b.id);
  assert.equal(result.status, 0, result.stderr);
  const lines = readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((l) => /^(\w+) (\S+) (.*)$/.exec(l)!.slice(1));
  assert.deepEqual(lines.map(([name]) => name).sort(), [
    "createContainer",
    "createRuntime",
    "poststart",
    "poststop",
    "prestart",
    "startContainer",
  ]);
  const host = readlinkSync("/proc/self/ns/net");
  for (const [name, net, json] of lines) {
    assert.equal(net === host, !["createContainer", "startContainer"].includes(name!), name);
    const state = JSON.parse(json!);
    assert.equal(state.id, b.id);
    if (name !== "poststop") assert.ok(state.pid > 1, name);
  }
  assert.deepEqual(
    lines.slice(0, 3).map(([name]) => name),
    ["prestart", "createRuntime", "createContainer"],
  );
});

test("a failing or hanging hook fails the container, and nothing is left", (t) => {
  const b = makeBundle(t);
  b.configure(
    (s) =>
      (s.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", "echo my reason >&2; exit 3"] }] }),
  );
  const failed = b.runc("run", b.id);
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /error running createRuntime hook #0: exit status 3, stderr: my reason/);
  b.configure((s) => (s.hooks = { prestart: [{ path: "/bin/sleep", args: ["sleep", "100"], timeout: 1 }] }));
  assert.match(b.runc("run", b.id).stderr, /error running prestart hook #0: it did not end in time/);
  assert.equal(existsSync(join(b.root, b.id)), false);
});

test("an image cannot redirect /proc or /sys by a symbolic link", (t) => {
  const b = makeBundle(t);
  rmSync(join(b.rootfs, "proc"), { recursive: true });
  symlinkSync("/tmp", join(b.rootfs, "proc"));
  const result = runBundle(b, "true");
  assert.equal(result.status, 1);
  assert.match(result.stderr, /\/proc must be mounted on ordinary directory/);
});

test("mount targets and masks stay inside the root, whatever symbolic links the image has", (t) => {
  const b = makeBundle(t);
  const victim = join(b.folder, "victim");
  mkdirSync(victim);
  symlinkSync(victim, join(b.rootfs, "out"));
  symlinkSync("../../../../../../../../..", join(b.rootfs, "up"));
  writeFileSync(join(b.folder, "evil"), "evil");
  const seen = script(b, `ls ${victim} /out; cat ${victim}/f /tmp/g; ls -ld /root`, (s) => {
    s.mounts!.push(
      { destination: "/out/f", type: "bind", source: join(b.folder, "evil"), options: ["bind"] },
      { destination: "/up/tmp/g", type: "bind", source: join(b.folder, "evil"), options: ["bind"] },
    );
    s.linux!.maskedPaths!.push("/up/root", "/out/none");
  });
  assert.match(seen, /evilevil/);
  assert.equal(existsSync(join(victim, "f")), false, "a mount target was made on the host");
});

test("a working directory reached through a leaked descriptor is refused", (t) => {
  const b = makeBundle(t);
  for (let fd = 3; fd < 12; fd++) {
    b.configure((s) => {
      s.process!.cwd = `/proc/self/fd/${fd}`;
      s.process!.args = ["sh", "-c", "ls ../../../../etc/hostname"];
    });
    const result = b.runc("run", b.id);
    assert.equal(result.status, 1, `fd ${fd}: ${result.stdout}`);
    assert.match(result.stderr, /cannot change to \/proc\/self\/fd/);
  }
});

test("the runtime's binary cannot be written to from inside", (t) => {
  const b = makeBundle(t);
  // PID 1 is an instance of its caller's binary: through /proc/self/exe that would be berth-init's.
  const seen = script(
    b,
    "echo x > /proc/1/exe 2>&1; readlink /proc/1/exe; :",
    (s) => (s.root!.readonly = false),
  );
  assert.match(seen, /\/bin\/busybox/);
  b.configure((s) => (s.process!.args = ["/proc/self/exe"]));
  const result = b.runc("run", b.id);
  assert.notEqual(result.status, 0);
});

test("joining namespaces by path: the second container shares the first one's network and hostname", (t) => {
  const first = makeBundle(t);
  first.configure((s) => {
    s.hostname = "shared";
    s.process!.args = ["sleep", "100"];
  });
  assert.equal(first.detached("run", "-d", first.id), 0);
  const pid = JSON.parse(first.runc("state", first.id).stdout).pid;
  const second = makeBundle(t);
  const seen = script(second, "readlink /proc/self/ns/net; hostname", (s) => {
    delete s.hostname;
    s.linux!.namespaces = [
      { type: "mount" },
      { type: "pid" },
      { type: "ipc" },
      { type: "network", path: `/proc/${pid}/ns/net` },
      { type: "uts", path: `/proc/${pid}/ns/uts` },
    ];
  });
  assert.equal(seen, `${readlinkSync(`/proc/${pid}/ns/net`)}\nshared\n`);
});

test("rootfs propagation and missing readonly paths", (t) => {
  const b = makeBundle(t);
  for (const propagation of ["private", "rslave", "shared", "unbindable"]) {
    assert.equal(output(b, "true"), "");
    script(b, "true", (s) => {
      s.linux!.rootfsPropagation = propagation;
      s.linux!.readonlyPaths!.push("/not/there");
    });
  }
  b.configure((s) => (s.linux!.rootfsPropagation = "sideways"));
  assert.match(b.runc("run", b.id).stderr, /rootfsPropagation/);
});

test("a created container holds its streams, the exec FIFO and its report, and no host descriptor", (t) => {
  const b = makeBundle(t);
  const kept = join(b.folder, "kept");
  writeFileSync(kept, "");
  b.configure((s) => {
    s.process!.args = ["true"];
    s.linux!.namespaces!.push({ type: "cgroup" });
    s.hooks = { createRuntime: [{ path: "/bin/true" }], startContainer: [{ path: "/bin/true" }] };
  });
  // 3 is passed on; 4 is left open by a careless caller.
  const create = 'exec 3<"$1" 4<"$1"; shift; exec "$@"';
  const args = [BERTH_RUNC, "--root", b.root, "create", "--preserve-fds", "1", b.id];
  const made = spawnSync("sh", ["-c", create, "sh", kept, ...args], { cwd: b.folder, stdio: "ignore" });
  assert.equal(made.status, 0);
  const { pid } = JSON.parse(b.runc("state", b.id).stdout);
  const open = readdirSync(`/proc/${pid}/fd`).map(
    (fd) => [fd, readlinkSync(`/proc/${pid}/fd/${fd}`)] as const,
  );
  const beyond = open.filter(([fd]) => Number(fd) > 2).map(([, to]) => to.replace(b.root, ""));
  assert.deepEqual(beyond.sort(), [`/${b.id}/exec.fifo`, `/${b.id}/exec.report`, kept].sort());
  assert.equal(b.detached("start", b.id), 0);
});

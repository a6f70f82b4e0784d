/**
 * Attacks on runtimes published as CVEs, each against berth as it is and against berth with the defence removed: then
 * the attack must succeed.
 */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import type { Spec } from "@berth/oci";
import { realSys } from "@berth/sys";
import { BERTH_RUNC, type Bundle, makeBundle, traces } from "../support/bundles.ts";
import { ROOT } from "../support/checkout.ts";
import { changePlan, runChanged, weakenedInit } from "../support/weakened.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

/** Runs the container, optionally with berth-init from another folder. */
function run(b: Bundle, lib?: string, ...verb: string[]): SpawnSyncReturns<string> {
  const args = verb.length === 0 ? ["run", b.id] : verb;
  return spawnSync(BERTH_RUNC, ["--root", b.root, ...args], {
    cwd: b.folder,
    encoding: "utf8",
    timeout: 20_000,
    stdio: ["ignore", "pipe", "pipe"],
    ...(lib === undefined ? {} : { env: { ...process.env, BERTH_LIB: lib } }),
  });
}

function sh(b: Bundle, text: string, change: (spec: Spec) => void = () => {}): void {
  b.configure((s) => {
    s.process!.args = ["sh", "-c", text];
    change(s);
  });
}

/** A host folder used as a volume. */
function volume(b: Bundle, name = "volume"): string {
  const folder = join(b.folder, name);
  mkdirSync(folder);
  return folder;
}

test("labels are not diverted by a volume on /proc (CVE-2019-16884, CVE-2025-52881)", async (t) => {
  const b = makeBundle(t);
  const fake = volume(b);
  mkdirSync(join(fake, "thread-self/attr"), { recursive: true });
  const swallowed = join(fake, "thread-self/attr/exec");
  writeFileSync(swallowed, "");
  sh(b, "echo unconfined", (s) => {
    s.process!.selinuxLabel = "a:b:c:s0";
    s.mounts = [{ destination: "/proc", type: "bind", source: fake, options: ["bind"] }];
    s.linux!.maskedPaths = [];
    s.linux!.readonlyPaths = [];
  });
  if (existsSync("/sys/fs/selinux/enforce")) return t.skip("with SELinux the label would be taken");
  const { status, stderr } = run(b);
  assert.equal(status, 1);
  assert.match(stderr, /cannot take the SELinux label/);
  assert.equal(readFileSync(swallowed, "utf8"), "");
  const open = await runChanged(b, (plan) =>
    changePlan(plan, "child", (op) =>
      op.words.startsWith("take the SELinux label")
        ? { ...op, name: "write", args: [`/proc/${op.args[1]}`, op.args[2]!] }
        : op,
    ),
  );
  assert.equal(open.text, "unconfined\n");
  assert.equal(readFileSync(swallowed, "utf8"), "a:b:c:s0");
});

for (const place of ["proc", "sys", "dev"]) {
  test(`an image's link at /${place} redirects neither mounts nor devices (CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2026-41579, CVE-2026-47766)`, async (t) => {
    const b = makeBundle(t);
    const victim = volume(b);
    rmSync(join(b.rootfs, place), { recursive: true });
    mkdirSync(join(b.rootfs, "vol"));
    symlinkSync("/vol", join(b.rootfs, place));
    sh(b, "ls /vol", (s) => {
      s.mounts = s.mounts!.filter((m) => place !== "dev" || !m.destination.startsWith("/dev"));
      s.mounts.unshift({ destination: "/vol", type: "bind", source: victim, options: ["bind"] });
      s.linux!.maskedPaths = [];
      s.linux!.readonlyPaths = [];
    });
    const { status, stderr } = run(b);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`/${place} must be mounted on ordinary directory`));
    assert.deepEqual(readdirSync(victim), [], "something was made in the volume");
    const open = await runChanged(b, (plan) =>
      changePlan(plan, "child", (op) => (op.name === "target" ? { ...op, args: op.args.with(4, 0) } : op)),
    );
    assert.equal(open.code, 0, open.text);
    assert.match(open.text, place === "dev" ? /^null$/m : place === "sys" ? /^kernel$/m : /^self$/m);
  });
}

test("mount targets stay inside the root, whatever symbolic links are in their paths (CVE-2021-30465)", (t) => {
  const b = makeBundle(t);
  const victim = volume(b);
  writeFileSync(join(b.folder, "evil"), "evil");
  symlinkSync(victim, join(b.rootfs, "out"));
  sh(b, "true", (s) =>
    s.mounts!.push({ destination: "/out/made", source: join(b.folder, "evil"), options: ["bind"] }),
  );
  assert.equal(run(b).status, 0);
  assert.deepEqual(readdirSync(victim), []);
  const open = weakenedInit(
    t,
    "files.c",
    ".resolve = resolve};",
    ".resolve = 0}; while (*path == '/') path++; if (!*path) path = \".\";",
  );
  rmSync(join(b.rootfs, b.folder), { recursive: true, force: true });
  run(b, open);
  assert.deepEqual(readdirSync(victim), ["made"], "without RESOLVE_IN_ROOT the host's folder is written to");
});

test("a target that is swapped for a link during mounting does not redirect the mount (CVE-2021-30465)", async (t) => {
  const b = makeBundle(t);
  const victim = volume(b);
  mkdirSync(join(b.rootfs, "vol/a"), { recursive: true });
  symlinkSync(victim, join(b.rootfs, "vol/b"));
  // Exchanges the folder and the link for as long as it lives.
  const swap = `while :; do mv a c && mv b a && mv c b; done 2>/dev/null`;
  const swapper = spawn("sh", ["-c", swap], { cwd: join(b.rootfs, "vol"), stdio: "ignore", detached: true });
  sh(b, "true", (s) => {
    for (let i = 0; i < 20; i++)
      s.mounts!.push({ destination: `/vol/a/made${i}`, type: "tmpfs", source: "tmpfs" });
  });
  for (let i = 0; i < 10; i++) run(b);
  // Before the bundle is removed, as it would refill the folder. The whole group, as its mv would outlive it.
  process.kill(-swapper.pid!, "SIGKILL");
  await once(swapper, "exit");
  assert.deepEqual(readdirSync(victim), []);
});

test("a working folder outside the root is refused (CVE-2024-21626)", (t) => {
  const b = makeBundle(t);
  // berth's descriptors are closed by then: this one is the caller's, which passes it on.
  const host = openSync("/", "r");
  t.after(() => closeSync(host));
  const attempt = (lib?: string) =>
    Array.from({ length: 12 }, (_, i) => {
      sh(b, "cat ../../../../../../../../../etc/hostname", (s) => {
        s.process!.cwd = `/proc/self/fd/${i + 3}`;
      });
      return spawnSync(BERTH_RUNC, ["--root", b.root, "run", "--preserve-fds", "1", b.id], {
        cwd: b.folder,
        encoding: "utf8",
        timeout: 20_000,
        stdio: ["ignore", "pipe", "pipe", host],
        ...(lib === undefined ? {} : { env: { ...process.env, BERTH_LIB: lib } }),
      });
    });
  for (const { status, stderr } of attempt()) {
    assert.equal(status, 1);
    assert.match(stderr, /cannot change to \/proc\/self\/fd/);
  }
  const open = weakenedInit(t, "process.c", "return cwd[0] == '/' ? 0 : -EXDEV;", "return 0;");
  const escaped = attempt(open).some(({ stdout }) => stdout === readFileSync("/etc/hostname", "utf8"));
  assert.ok(escaped, "without the check some descriptor leads to the host");
});

test("an exec's working folder outside the root is refused too (CVE-2024-21626)", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  for (let fd = 3; fd < 15; fd++) {
    const { status, stderr } = b.runc("exec", "--cwd", `/proc/self/fd/${fd}`, b.id, "pwd");
    assert.equal(status, 255);
    assert.match(stderr, /cannot change to \/proc\/self\/fd/);
  }
});

test("masked paths hide behind the host's null device, not the image's (CVE-2025-31133)", async (t) => {
  const b = makeBundle(t);
  writeFileSync(join(b.rootfs, "secret"), "secret");
  writeFileSync(join(b.rootfs, "dev/null"), "from the image");
  sh(b, "cat /secret", (s) => {
    s.mounts = s.mounts!.filter((m) => !m.destination.startsWith("/dev"));
    s.mounts.push({ destination: "/dev", type: "bind", source: join(b.rootfs, "dev"), options: ["bind"] });
    s.linux!.maskedPaths = ["/secret"];
  });
  assert.equal(run(b).stdout, "");
  const open = await runChanged(b, (plan) =>
    changePlan(plan, "child", (op) =>
      op.name === "check_device"
        ? undefined
        : op.words.includes("/dev/null for masks")
          ? { ...op, args: [op.args[0]!, op.args[1]!, join(b.rootfs, "dev/null"), op.args[3]!] }
          : op,
    ),
  );
  assert.equal(open.text, "from the image");
});

test("a fake null device is detected (CVE-2025-31133)", async (t) => {
  const b = makeBundle(t);
  const changed = await runChanged(b, (plan) =>
    changePlan(plan, "child", (op) =>
      op.words.includes("/dev/null for masks")
        ? { ...op, args: [op.args[0]!, op.args[1]!, "/dev/zero", op.args[3]!] }
        : op,
    ),
  );
  assert.match(changed.text, /cannot check that it is the null device: check_device: ENODEV/);
});

test("/dev/console is not bound over a link's target (CVE-2025-52565)", (t) => {
  const b = makeBundle(t);
  const attempt = (lib?: string) => {
    rmSync(join(b.rootfs, "dev"), { recursive: true, force: true });
    mkdirSync(join(b.rootfs, "dev/pts"), { recursive: true });
    writeFileSync(join(b.rootfs, "victim"), "untouched");
    symlinkSync("/victim", join(b.rootfs, "dev/console"));
    sh(b, "test -c /victim && echo bound > /tmp/seen; true", (s) => {
      s.process!.terminal = true;
      s.root!.readonly = false;
      s.mounts = s.mounts!.filter(
        (m) => m.destination !== "/dev" && m.destination !== "/dev/shm" && m.destination !== "/dev/mqueue",
      );
      s.linux!.resources = {};
    });
    rmSync(join(b.rootfs, "tmp/seen"), { force: true });
    const env = lib === undefined ? "" : `BERTH_LIB=${lib} `;
    spawnSync("script", ["-qec", `${env}${BERTH_RUNC} --root ${b.root} run ${b.id}`, "/dev/null"], {
      cwd: b.folder,
      timeout: 20_000,
      stdio: ["ignore", "ignore", "ignore"],
    });
    return existsSync(join(b.rootfs, "tmp/seen"));
  };
  assert.equal(attempt(), false);
  const open = weakenedInit(
    t,
    "console.c",
    `open_in_root(root, "/dev/console", O_PATH | O_NOFOLLOW)`,
    `open_in_root(root, "/dev/console", O_PATH)`,
  );
  assert.equal(attempt(open), true, "without O_NOFOLLOW the terminal covers the link's target");
});

test("kernel parameters are written to the container's own procfs, never to a mount over it (CVE-2025-52881)", (t) => {
  const b = makeBundle(t);
  const fake = volume(b);
  writeFileSync(join(fake, "domainname"), "");
  sh(b, "true", (s) => {
    s.linux!.sysctl = { "kernel.domainname": "swallowed" };
    s.linux!.readonlyPaths = [];
    s.mounts!.push({ destination: "/proc/sys/kernel", type: "bind", source: fake, options: ["bind"] });
  });
  const { status, stderr } = run(b);
  assert.equal(status, 1);
  assert.match(stderr, /cannot set kernel.domainname.*EXDEV/);
  assert.equal(readFileSync(join(fake, "domainname"), "utf8"), "");
  const open = weakenedInit(t, "files.c", " | RESOLVE_NO_XDEV", "");
  assert.equal(run(b, open).status, 0);
  assert.equal(readFileSync(join(fake, "domainname"), "utf8"), "swallowed");
});

test("the runtime's binary cannot be written to through /proc (CVE-2019-5736)", async (t) => {
  const b = makeBundle(t);
  const onDisk = join(b.folder, "berth-init");
  const original = join(ROOT, "lib/berth/berth-init");
  const before = readFileSync(original);
  copyFileSync(original, onDisk);
  // A hook's parent is berth-init: it opens that binary, and writes once no process executes it any more.
  const attack = `exec 9</proc/$PPID/exe
(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.1; echo pwned > /proc/self/fd/9 && exit; done; echo gave up > ${b.folder}/gave-up) >/dev/null 2>&1 &`;
  b.configure((s) => {
    s.process!.args = ["true"];
    s.hooks = {
      createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", attack], env: ["PATH=/usr/bin:/bin"] }],
    };
  });
  const until = async (done: () => boolean) => {
    for (let i = 0; i < 100 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
    return done();
  };
  const sealed = run(b);
  assert.equal(sealed.status, 0, sealed.stderr);
  assert.ok(await until(() => existsSync(join(b.folder, "gave-up"))), "the sealed program was written to");
  assert.deepEqual(readFileSync(original), before);
  const plain = openSync(onDisk, "r");
  const open = await runChanged(b, (plan) => plan, {
    sealedCopy: (name, path) => (name === "berth-init" ? plain : realSys.sealedCopy(name, path)),
  });
  assert.equal(open.code, 0, open.text);
  const overwritten = await until(() => readFileSync(onDisk, "utf8").startsWith("pwned"));
  closeSync(plain);
  assert.ok(overwritten, "a program on disk is overwritten");
});

test("no descriptor of the runtime or its caller reaches a process, first or exec'd", async (t) => {
  const b = makeBundle(t);
  b.args("ls", "/proc/self/fd");
  const leak = [openSync("/", "r"), openSync("/etc", "r")];
  const call = (...verb: string[]) =>
    spawnSync(BERTH_RUNC, ["--root", b.root, ...verb], {
      cwd: b.folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe", ...leak],
    });
  const plain = call("run", b.id);
  // ls itself opens the folder it lists.
  assert.equal(plain.stdout, "0\n1\n2\n3\n", plain.stderr);
  const open = await runChanged(b, (plan) =>
    changePlan(plan, "child", (op) => (op.name === "close_range" ? { ...op, args: [1000] } : op)),
  );
  assert.equal(open.code, 0);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  const added = call("exec", b.id, "ls", "/proc/self/fd");
  assert.equal(added.stdout, "0\n1\n2\n3\n", added.stderr);
  for (const fd of leak) closeSync(fd);
});

test("a hostile /etc/passwd does not block", (t: TestContext) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  rmSync(join(b.rootfs, "etc/passwd"));
  spawnSync("mkfifo", [join(b.rootfs, "etc/passwd")]);
  const { status, stdout, stderr } = run(
    b,
    undefined,
    "exec",
    "--env",
    "X=1",
    b.id,
    "sh",
    "-c",
    "echo $HOME",
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "/\n");
});

test("exec: the container's process is identified by more than its pid", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  const state = join(b.root, b.id, "record.json");
  const record = JSON.parse(readFileSync(state, "utf8"));
  // As if the pid had been reused: same number, another start time.
  writeFileSync(state, JSON.stringify({ ...record, startTime: record.startTime - 1 }));
  assert.match(run(b, undefined, "exec", b.id, "true").stderr, /cannot exec in a stopped container/);
  assert.match(run(b, undefined, "kill", b.id, "KILL").stderr, /container not running/);
  writeFileSync(state, JSON.stringify(record));
});

test("exec --user takes numbers only, so that the image's names do not matter (CVE-2026-30892)", (t) => {
  const b = makeBundle(t);
  b.args("sleep", "100");
  assert.equal(b.detached("run", "-d", b.id), 0);
  for (const user of [
    "root",
    "1000:root",
    "0x0",
    "-1",
    "1000:",
    ":0",
    "4294967295",
    "1e3",
    " 0",
    "1000:0:0",
  ]) {
    const { status, stderr } = run(b, undefined, "exec", "--user", user, b.id, "id");
    assert.equal(status, 255, user);
    assert.match(stderr, /--user/);
  }
  assert.equal(run(b, undefined, "exec", "--user", "1000:1001", b.id, "id", "-u").stdout, "1000\n");
});

test("secrets of the environment are in no error, log or plan", (t) => {
  const b = makeBundle(t);
  b.configure((s) => {
    s.process!.env!.push("PASSWORD=hunter2");
    s.process!.args = ["/nosuch"];
  });
  const outputs = ["text", "json"].map((format) => {
    const log = join(b.folder, `log.${format}`);
    const ran = run(b, undefined, "--debug", "--log", log, "--log-format", format, "run", b.id);
    return ran.stdout + ran.stderr + readFileSync(log, "utf8");
  });
  const plan = spawnSync(join(ROOT, "bin/berth"), ["explain", b.folder], { encoding: "utf8" });
  assert.match(plan.stdout, /\/nosuch/);
  assert.doesNotMatch([...outputs, plan.stdout, plan.stderr].join("\n"), /hunter2/);
});

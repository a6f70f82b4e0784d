/** The systemd cgroup driver against a real systemd: the machine's, booted in a container. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { CAPABILITIES, defaultSpec } from "@berth/oci";
import { type Bundle, makeBundle, makeRootfs, traces } from "../support/bundles.ts";
import { ROOT } from "../support/checkout.ts";
import { until } from "../support/until.ts";

const SYSTEMD = "/lib/systemd/systemd";
const version = existsSync(SYSTEMD)
  ? Number(/\d+/.exec(spawnSync(SYSTEMD, ["--version"], { encoding: "utf8", timeout: 10_000 }).stdout)?.[0])
  : 0;
const v1 = existsSync("/sys/fs/cgroup/memory");
const skip =
  version === 0 || !existsSync("/usr/bin/systemctl")
    ? "systemd is not installed"
    : v1 && version > 257
      ? `systemd ${version} does not work with cgroup version 1`
      : !existsSync("/usr/lib/os-release")
        ? "the machine's /usr has no system in it"
        : false;

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

/** A machine that runs systemd on the host's /usr, and inside it a bundle at /bundle. */
interface Machine {
  run(...args: string[]): SpawnSyncReturns<string>;
  runc(...args: string[]): SpawnSyncReturns<string>;
  /** Properties of a unit. */
  show(unit: string, ...names: string[]): Record<string, string>;
  /** Writes the inner bundle's config.json. */
  configure(change: (spec: ReturnType<typeof defaultSpec>) => void): void;
}

async function boot(t: TestContext): Promise<Machine> {
  const outer: Bundle = makeBundle(t);
  const { folder } = outer;
  const root = join(folder, "machine");
  for (const name of ["usr", "etc/systemd/system", "proc", "sys", "dev", "run", "tmp", "bundle", "berth"])
    mkdirSync(join(root, name), { recursive: true });
  for (const name of ["bin", "sbin", "lib", "lib64"])
    if (existsSync(`/usr/${name}`)) symlinkSync(`usr/${name}`, join(root, name));
  writeFileSync(join(root, "etc/machine-id"), "0123456789abcdef0123456789abcdef\n");
  // Nothing but systemd itself.
  writeFileSync(join(root, "etc/systemd/system/bare.target"), "[Unit]\nDefaultDependencies=no\n");
  const inner = join(folder, "inner");
  makeRootfs(join(inner, "rootfs"));
  const bind = (destination: string, source: string, ...options: string[]) => ({
    destination,
    source,
    type: "bind",
    options: ["rbind", ...options],
  });
  outer.configure((s) => {
    s.root = { path: "machine", readonly: false };
    s.process!.args = [SYSTEMD, "--unit=bare.target", "--log-target=console", "--log-level=err"];
    s.process!.env = ["container=berth", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
    // This test may not have all of them itself.
    const mine = BigInt(`0x${/^CapBnd:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))![1]}`);
    const caps = CAPABILITIES.filter((_, i) => (mine >> BigInt(i)) & 1n);
    s.process!.capabilities = { bounding: caps, effective: caps, permitted: caps };
    s.process!.noNewPrivileges = false;
    delete s.process!.rlimits;
    s.mounts = s.mounts!.filter((m) => m.destination !== "/sys/fs/cgroup");
    s.mounts.push(
      { destination: "/run", type: "tmpfs", source: "tmpfs" },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs" },
      {
        destination: "/sys/fs/cgroup",
        type: "cgroup",
        source: "cgroup",
        options: ["rw", "nosuid", "noexec", "nodev"],
      },
      bind("/usr", "/usr", "ro"),
      bind("/berth", ROOT, "ro"),
      bind("/bundle", inner),
    );
    if (!s.linux!.namespaces!.some((n) => n.type === "cgroup")) s.linux!.namespaces!.push({ type: "cgroup" });
    s.linux!.maskedPaths = [];
    s.linux!.readonlyPaths = [];
    s.linux!.resources = { devices: [{ allow: true, access: "rwm" }] };
    delete s.linux!.seccomp;
  });
  assert.equal(outer.detached("run", "-d", outer.id), 0);
  const run = (...args: string[]) => outer.runc("exec", outer.id, ...args);
  await until("systemd", () => run("systemctl", "is-active", "bare.target").stdout.trim() === "active");
  return {
    run,
    runc: (...args) => run("/berth/bin/berth-runc", "--root", "/run/inner", ...args),
    show: (unit, ...names) =>
      Object.fromEntries(
        run("systemctl", "show", unit, "-p", names.join(","))
          .stdout.trim()
          .split("\n")
          .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
      ),
    configure: (change) => {
      const spec = defaultSpec();
      spec.process!.terminal = false;
      spec.process!.args = ["sleep", "1000"];
      delete spec.process!.rlimits;
      change(spec);
      writeFileSync(join(inner, "config.json"), JSON.stringify(spec));
    },
  };
}

test("a container is a systemd scope, with its limits, from run to delete", { skip }, async (t) => {
  const m = await boot(t);
  const start = (id: string) =>
    m.run(
      "sh",
      "-c",
      `exec /berth/bin/berth-runc --root /run/inner --systemd-cgroup run -d -b /bundle ${id} </dev/null >/run/out 2>&1`,
    );
  m.configure((s) => {
    s.linux!.cgroupsPath = "machine-test.slice:berth:one";
    // Limits only where the machine has the controller.
    if (v1)
      s.linux!.resources = {
        ...s.linux!.resources,
        memory: { limit: 64 << 20 },
        pids: { limit: 20 },
        cpu: { shares: 512, quota: 25_500, period: 50_000 },
      };
    s.annotations = {
      "org.systemd.property.TimeoutStopSec": "7",
      "org.systemd.property.CollectMode": "'inactive-or-failed'",
    };
  });
  assert.equal(start("one").status, 0, m.run("cat", "/run/out").stdout);
  const unit = "berth-one.scope";
  const shown = m.show(
    unit,
    "ActiveState",
    "Slice",
    "Delegate",
    "ControlGroup",
    "CollectMode",
    "TimeoutStopUSec",
    "DevicePolicy",
    "MemoryLimit",
    "TasksMax",
    "CPUShares",
    "CPUQuotaPerSecUSec",
  );
  const group = "/machine.slice/machine-test.slice/berth-one.scope";
  assert.deepEqual(
    [
      shown.ActiveState,
      shown.Slice,
      shown.Delegate,
      shown.ControlGroup,
      shown.CollectMode,
      shown.TimeoutStopUSec,
      shown.DevicePolicy,
    ],
    ["active", "machine-test.slice", "yes", group, "inactive-or-failed", "7s", "strict"],
  );
  if (v1)
    assert.deepEqual(
      [shown.MemoryLimit, shown.TasksMax, shown.CPUShares, shown.CPUQuotaPerSecUSec],
      [String(64 << 20), "20", "512", "510ms"],
    );
  const pid = JSON.parse(m.runc("state", "one").stdout).pid;
  // In every hierarchy, and alone: the scope's initial process has left.
  const groups = m.run("cat", `/proc/${pid}/cgroup`).stdout.trim().split("\n");
  assert.ok(
    groups.every((line) => line.endsWith(group)),
    groups.join(" "),
  );
  assert.deepEqual(JSON.parse(m.runc("ps", "-f", "json", "one").stdout), [pid]);
  assert.match(m.runc("exec", "one", "cat", "/proc/self/cgroup").stdout, /berth-one\.scope|:\/\n/);
  // At a reload systemd rewrites the limits as requested, also after an update.
  if (v1) {
    const limit = () => m.run("cat", `/sys/fs/cgroup/memory${group}/memory.limit_in_bytes`).stdout.trim();
    const devices = () =>
      m.run("cat", `/sys/fs/cgroup/devices${group}/devices.list`).stdout.trim().split("\n").sort();
    const allowed = devices();
    assert.equal(m.runc("update", "--memory", String(32 << 20), "one").status, 0);
    assert.equal(m.show(unit, "MemoryLimit").MemoryLimit, String(32 << 20));
    assert.equal(m.run("systemctl", "daemon-reload").status, 0);
    assert.equal(limit(), String(32 << 20));
    assert.deepEqual(devices(), allowed);
  }
  assert.equal(m.runc("pause", "one").status, 0);
  assert.equal(JSON.parse(m.runc("state", "one").stdout).status, "paused");
  assert.equal(m.runc("resume", "one").status, 0);
  const second = start("two");
  assert.equal(second.status, 1, "the scope is taken");
  assert.match(m.run("cat", "/run/out").stdout, /cgroup is not empty/);
  const deleted = m.runc("delete", "--force", "one");
  assert.equal(deleted.status, 0, deleted.stderr);
  assert.equal(m.show(unit, "LoadState").LoadState, "not-found");
  assert.equal(m.run("sh", "-c", "find /sys/fs/cgroup -name 'berth-one*'").stdout, "");

  // A failure leaves neither unit nor cgroup.
  m.configure((s) => {
    s.process!.args = ["/nothing"];
  });
  assert.equal(start("three").status, 1);
  assert.match(m.run("cat", "/run/out").stdout, /\/nothing/);
  assert.equal(m.show("runc-three.scope", "LoadState").LoadState, "not-found");
  assert.equal(m.run("sh", "-c", "find /sys/fs/cgroup -name '*three*'").stdout, "");
  m.configure((s) => {
    s.annotations = { "org.systemd.property.NoSuchThing": "true" };
  });
  assert.equal(start("four").status, 1);
  assert.match(m.run("cat", "/run/out").stdout, /StartTransientUnit: .*NoSuchThing/);
  m.configure((s) => {
    s.linux!.cgroupsPath = "/a/path";
  });
  assert.equal(start("five").status, 1);
  assert.match(m.run("cat", "/run/out").stdout, /expected .*slice:prefix:name/);

  // A slice for the container.
  m.configure((s) => {
    s.linux!.cgroupsPath = "machine.slice::machine-own.slice";
  });
  assert.equal(start("six").status, 0, m.run("cat", "/run/out").stdout);
  assert.match(
    m.show("machine-own.slice", "ControlGroup").ControlGroup!,
    /\/machine\.slice\/machine-own\.slice$/,
  );
  assert.equal(m.runc("delete", "--force", "six").status, 0);
  assert.equal(m.show("machine-own.slice", "ActiveState").ActiveState, "inactive");
  assert.equal(m.runc("list", "-q").stdout, "");
});

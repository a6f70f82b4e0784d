import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { configCommand } from "./command.ts";
import { configOf, loadConfig, parseConfig } from "./config.ts";

test("defaults follow the state directory", () => {
  const config = loadConfig(undefined, { state: "/tmp/s" });
  assert.equal(config.root, "/var/lib/berth");
  assert.equal(config["grpc.address"], "/tmp/s/berth.sock");
  assert.equal(config["ttrpc.address"], "/tmp/s/berth.sock.ttrpc");
  assert.equal(loadConfig(undefined, { address: "/x/s" })["ttrpc.address"], "/x/s.ttrpc");
  assert.equal(loadConfig(undefined, { root: "/r" })["native.root"], "/r/snapshots/native");
  assert.equal(config["log.level"], "info");
});

test("a file is read", () => {
  const toml = `root = "/r"
[grpc]
address = "/a"
gid = 5
[registry]
insecure = ["h:5000"]
[gc]
startup_delay = "2s"
`;
  const { settings, ignored } = parseConfig(toml, "f");
  assert.deepEqual(settings, {
    root: "/r",
    "grpc.address": "/a",
    "grpc.gid": 5,
    "registry.insecure": ["h:5000"],
    "gc.startup_delay": 2000,
  });
  assert.deepEqual(ignored, []);
});

test("errors name line and column", () => {
  const cases: [string, RegExp][] = [
    ['root = "/r"\n\nrot = "/x"\n', /f\.toml:3:1: unknown key "rot"/],
    ['[grpc]\n# c\n  adress = "/x"\n', /f\.toml:3:3: unknown key "grpc.adress"/],
    ["[grcp]\na = 1\n", /f\.toml:2:1: unknown key "grcp.a"/],
    ['[grpc]\nuid = "root"\n', /f\.toml:2:1: grpc\.uid is "root", expected a whole/],
    ['root = "relative"\n', /f\.toml:1:1: root .* absolute path/],
    ['[gc]\nschedule_delay = "soon"\n', /gc\.schedule_delay is "soon", expected a duration/],
    ['metrics = { address = "0.0.0.0:1" }\n', /f\.toml:1:1: metrics.address is "0.0.0.0:1", expected 127/],
    ["root = \n", /f\.toml:1:8: /],
    ["[plugins.x]\na = 1\n", /unknown key "plugins.x.a".*a containerd's file begins with its version/],
    ["version = 1\n", /f\.toml:1:1: version is 1, expected 2, 3 or 4/],
    ['version = 3\n[grpc]\nuid = "x"\n', /f\.toml:3:1: grpc\.uid is "x", expected a whole/],
  ];
  for (const [toml, why] of cases) assert.throws(() => parseConfig(toml, "f.toml"), why);
  assert.throws(() => loadConfig("/nonexistent.toml", {}), /ENOENT/);
  assert.throws(() => loadConfig(undefined, { logLevel: "loud" }), /--log-level is "loud"/);
});

test("a containerd's file: what berth has is read, the rest is named", () => {
  const toml = `version = 2
root = "/var/lib/containerd"
temp = ""
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/containerd/containerd.sock"
  gid = 7
[debug]
  level = ""
[plugins."io.containerd.gc.v1.scheduler"]
  pause_threshold = 0.1
  schedule_delay = "1s"
[plugins.'io.containerd.snapshotter.v1.overlayfs']
  root_path = "/snap"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
`;
  const { settings, ignored } = parseConfig(toml, "/etc/c.toml");
  assert.deepEqual(settings, {
    root: "/var/lib/containerd",
    disabled_plugins: ["io.containerd.grpc.v1.cri"],
    "grpc.address": "/run/containerd/containerd.sock",
    "grpc.gid": 7,
    "gc.pause_threshold": 0.1,
    "gc.schedule_delay": 1000,
    "overlayfs.root": "/snap",
  });
  assert.deepEqual(ignored, [
    {
      key: "plugins.'io.containerd.grpc.v1.cri'.containerd.default_runtime_name",
      where: "/etc/c.toml:16:3",
      why: "berth does not serve CRI yet",
    },
  ]);
  const four = 'version = 4\n[plugins."io.containerd.server.v1.grpc"]\naddress = "/a"\n';
  assert.deepEqual(parseConfig(four, "f").settings, { "grpc.address": "/a" });
});

test("imports have the last word, and add to lists", () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-config-"));
  try {
    mkdirSync(join(folder, "conf.d"));
    const main = join(folder, "config.toml");
    writeFileSync(
      main,
      'version = 3\nimports = ["conf.d/*.toml", "none/*.toml"]\nroot = "/one"\nrequired_plugins = ["a"]\n',
    );
    writeFileSync(join(folder, "conf.d/a.toml"), 'root = "/two"\nrequired_plugins = ["b"]\n');
    writeFileSync(join(folder, "conf.d/b.toml"), `version = 3\nimports = ["${main}"]\nroot = "/three"\n`);
    writeFileSync(join(folder, "conf.d/c.txt"), "no");
    assert.deepEqual(loadConfig(main, {}).root, "/three");
    assert.deepEqual(loadConfig(main, {}).required_plugins, ["a", "b"]);
    writeFileSync(join(folder, "conf.d/b.toml"), 'version = 3\n[grpc]\n uid = "x"\n');
    assert.throws(() => loadConfig(main, {}), new RegExp(`${folder}/conf.d/b.toml:3:2: grpc.uid is "x"`));
    writeFileSync(main, 'version = 3\nimports = ["gone.toml"]\n');
    assert.throws(() => loadConfig(main, {}), /imports: cannot read .*gone.toml: ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("check, default, dump and migrate", () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-config-"));
  try {
    const file = join(folder, "config.toml");
    writeFileSync(file, 'version = 3\nroot = "/r"\n[cgroup]\npath = "/x"\n[grpc]\ngid = 9\n');
    const why = `${file}:4:1: cgroup.path is ignored: berthd stays in the cgroup that it was started in`;
    assert.equal(configCommand(["check", file]), `${why}\n${file}: ok\n`);
    const migrated = configCommand(["migrate", file]);
    assert.equal(migrated, `root = "/r"\n\n[grpc]\ngid = 9\n# ${why}\n`);
    assert.deepEqual(parseConfig(migrated, "m").settings, { root: "/r", "grpc.gid": 9 });
    const dumped = parseConfig(configCommand(["dump", file]), "d").settings;
    assert.deepEqual(configOf(dumped, {}), loadConfig(file, {}));
    const defaults = configCommand(["default"]);
    assert.match(defaults, /^# Blobs, snapshots and metadata\.\nroot = "\/var\/lib\/berth"\n/);
    assert.deepEqual(configOf(parseConfig(defaults, "d").settings, {}), configOf({}, {}));
    assert.throws(() => configCommand(["show"]), /found "show", expected check, default, dump, migrate/);
    assert.throws(() => configCommand(["migrate", "/nonexistent"]), /ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

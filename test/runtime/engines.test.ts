/**
 * Other engines on berth-runc: Debian's containerd, podman and docker run, exec, restart, stop and remove with it.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { BERTH_RUNC, makeRootfs } from "../support/bundles.ts";
import { cannotRun, Folder, type Ran, run, start, startContainerd } from "../support/daemons.ts";

const TMPFS_MAGIC = 0x01021994;
const id = `berth-engines-${process.pid}`;
/** Cgroups of these tests: the parent they name, and the one that podman creates for conmon. */
const cgroups = () => globSync(`/sys/fs/cgroup/*/{${id},libpod_parent}`);

/** Removes an empty cgroup and those below it; podman creates plain files if no hierarchy is mounted. */
function removeCgroup(folder: string): void {
  if (statfsSync(folder).type === TMPFS_MAGIC) {
    rmSync(folder, { recursive: true });
    return;
  }
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(join(folder, entry.name));
  rmdirSync(folder);
}

/**
 * A folder for the engine. At the end of the test the actions passed to `undo` run, last first; then the folder is
 * removed, and with it the empty cgroups that engines leave behind.
 */
function place(t: TestContext): { folder: string; undo(what: () => Promise<unknown>): void } {
  const folder = new Folder();
  const before = new Set(cgroups());
  const steps: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const step of steps.reverse()) await step();
    await folder.remove();
    for (const cgroup of cgroups().filter((path) => !before.has(path))) removeCgroup(cgroup);
  });
  makeRootfs(mkdir(join(folder.path, "rootfs")));
  return { folder: folder.path, undo: (what) => steps.push(what) };
}

function mkdir(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

/** The root file system as a tar, to build an image from. */
function archive(folder: string): string {
  const path = join(folder, "rootfs.tar");
  execFileSync("tar", ["-C", join(folder, "rootfs"), "-cf", path, "."]);
  return path;
}

function ok(ran: Ran): string {
  assert.equal(ran.code, 0, ran.stdout + ran.stderr);
  return ran.stdout;
}

/** Whether berth-runc runs the container: its record is below the root chosen by the engine. */
function recordedBelow(roots: readonly string[]): boolean {
  return roots.some((root) =>
    globSync(`${root}/**/record.json`).some((file) => "tail" in JSON.parse(readFileSync(file, "utf8"))),
  );
}

test("containerd, its shim and ctr", {
  skip: cannotRun("/usr/bin/containerd", "/usr/bin/ctr"),
}, async (t) => {
  const { folder, undo } = place(t);
  const daemon = await startContainerd(folder);
  undo(() => daemon.stop());
  const rootfs = join(folder, "rootfs");
  const flags = ["--runc-binary", BERTH_RUNC, "--rootfs", rootfs];
  assert.equal(ok(await daemon.ctr("run", "--rm", ...flags, `${id}-a`, "echo", "hi")), "hi\n");
  assert.equal((await daemon.ctr("run", "--rm", ...flags, `${id}-b`, "sh", "-c", "exit 3")).code, 3);
  const missing = await daemon.ctr("run", "--rm", ...flags, `${id}-c`, "nosuch");
  assert.match(missing.stderr, /executable file not found in \$PATH/);
  ok(await daemon.ctr("run", "-d", ...flags, id, "sleep", "100"));
  undo(() => daemon.ctr("tasks", "kill", "-s", "KILL", id));
  assert.ok(recordedBelow([`/run/containerd/runc/default/${id}`]));
  assert.equal(ok(await daemon.ctr("tasks", "exec", "--exec-id", "e", id, "echo", "added")), "added\n");
  assert.match(ok(await daemon.ctr("tasks", "ps", id)), /^\d+/m);
  ok(await daemon.ctr("tasks", "pause", id));
  assert.match(ok(await daemon.ctr("tasks", "ls")), new RegExp(`${id}\\s+\\d+\\s+PAUSED`));
  ok(await daemon.ctr("tasks", "resume", id));
  assert.match(ok(await daemon.ctr("tasks", "metrics", id)), /pids.current|memory/);
  // A restart, as engines do it: the task is deleted, and another one created for the same container.
  ok(await daemon.ctr("tasks", "rm", "-f", id));
  ok(await daemon.ctr("tasks", "start", "-d", id));
  assert.match(ok(await daemon.ctr("tasks", "ls")), new RegExp(`${id}\\s+\\d+\\s+RUNNING`));
  ok(await daemon.ctr("tasks", "rm", "-f", id));
  ok(await daemon.ctr("containers", "rm", id));
});

test("podman and conmon", { skip: cannotRun("/usr/bin/podman", "/usr/bin/conmon") }, async (t) => {
  const { folder, undo } = place(t);
  const config = join(folder, "containers.conf");
  // Podman's defaults raise limits, which requires a capability that a restricted host may lack.
  writeFileSync(config, '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n');
  const at = (name: string) => join(folder, name);
  const flags = `--root ${at("root")} --runroot ${at("runroot")} --tmpdir ${at("tmp")} --storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime ${BERTH_RUNC}`;
  const podman = (...args: string[]) =>
    run("/usr/bin/env", [`CONTAINERS_CONF=${config}`, "podman", ...flags.split(" "), ...args]);
  undo(() => podman("rm", "-af", "-t", "0"));
  ok(await podman("import", archive(folder), "bb"));
  const here = ["--network", "none", "--cgroup-parent", `/${id}`];
  assert.equal(ok(await podman("run", "--rm", ...here, "bb", "echo", "hi")), "hi\n");
  assert.equal((await podman("run", "--rm", ...here, "bb", "sh", "-c", "exit 3")).code, 3);
  assert.equal((await podman("run", "--rm", ...here, "bb", "nosuch")).code, 127);
  const terminal = await podman("run", "--rm", "-t", ...here, "bb", "tty");
  assert.match(ok(terminal), /\/dev\/pts\/0/);
  ok(await podman("run", "-d", "--name", "c1", ...here, "bb", "sleep", "100"));
  assert.match(ok(await podman("inspect", "c1", "--format", "{{.OCIRuntime}}")), /berth-runc/);
  assert.equal(ok(await podman("exec", "c1", "echo", "added")), "added\n");
  ok(await podman("pause", "c1"));
  ok(await podman("unpause", "c1"));
  ok(await podman("restart", "-t", "0", "c1"));
  assert.match(ok(await podman("ps", "--format", "{{.Names}} {{.State}}")), /^c1 (running|Up .*)$/m);
  ok(await podman("stop", "-t", "0", "c1"));
  ok(await podman("rm", "c1"));
  assert.equal(ok(await podman("ps", "-aq")), "");
});

test("docker and its daemon", { skip: cannotRun("/usr/sbin/dockerd", "/usr/bin/docker") }, async (t) => {
  const { folder, undo } = place(t);
  const at = (name: string) => join(folder, name);
  const socket = at("docker.sock");
  const docker = (...args: string[]) => run("/usr/bin/docker", ["-H", `unix://${socket}`, ...args]);
  const flags = `--data-root ${at("root")} --exec-root ${at("run")} --host unix://${socket} --pidfile ${at("pid")} --add-runtime berth=${BERTH_RUNC} --default-runtime berth --iptables=false --ip6tables=false --bridge none --storage-driver vfs --cgroup-parent /${id}`;
  const daemon = await start("/usr/sbin/dockerd", flags.split(" "), async () =>
    existsSync(socket) ? (await docker("version")).code === 0 : false,
  );
  undo(() => daemon.stop());
  undo(async () => {
    const left = (await docker("ps", "-aq")).stdout.split("\n").filter(Boolean);
    if (left.length > 0) await docker("rm", "-f", ...left);
  });
  ok(await docker("import", archive(folder), "bb"));
  const here = ["--network", "none"];
  assert.equal(ok(await docker("run", "--rm", ...here, "bb", "echo", "hi")), "hi\n");
  assert.equal((await docker("run", "--rm", ...here, "bb", "sh", "-c", "exit 3")).code, 3);
  assert.equal((await docker("run", "--rm", ...here, "bb", "nosuch")).code, 127);
  ok(await docker("run", "-d", "--name", "c1", "--memory", "64m", ...here, "bb", "sleep", "100"));
  assert.equal(ok(await docker("inspect", "c1", "--format", "{{.HostConfig.Runtime}}")), "berth\n");
  assert.ok(readdirSync(at("run")).length > 0);
  assert.equal(ok(await docker("exec", "c1", "echo", "added")), "added\n");
  ok(await docker("pause", "c1"));
  ok(await docker("unpause", "c1"));
  ok(await docker("update", "--memory", "48m", "--memory-swap", "96m", "c1"));
  ok(await docker("restart", "-t", "0", "c1"));
  assert.match(ok(await docker("ps", "--format", "{{.Names}} {{.State}}")), /^c1 (running|Up .*)$/m);
  ok(await docker("stop", "-t", "0", "c1"));
  ok(await docker("rm", "c1"));
  assert.equal(ok(await docker("ps", "-aq")), "");
});

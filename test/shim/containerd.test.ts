/** containerd-shim-berth-v1 under Debian's containerd: `ctr run --runtime io.containerd.berth.v1`. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeRootfs } from "../support/bundles.ts";
import { BIN } from "../support/checkout.ts";
import { skipWithoutCriu } from "../support/criu.ts";
import { cannotRun, type Daemon, Folder, type Ran, run, startContainerd } from "../support/daemons.ts";
import { busyboxLayer, makeImage, ociArchive } from "../support/images.ts";

const skip = cannotRun("/usr/bin/containerd", "/usr/bin/ctr", "/usr/bin/script", "/bin/busybox") ?? false;
const RUNTIME = "io.containerd.berth.v1";
const SHIM = join(BIN, "containerd-shim-berth-v1");
const PREFIX = `shim-test-${process.pid}`;
const TIMEOUT_MS = 20_000;

let folder: Folder;
let containerd: Daemon;
let rootfs: string;

const env = () => ({
  PATH: `${join(folder.path, "bin")}:${process.env.PATH}`,
  BERTH_SHIM_STATE: join(folder.path, "shims"),
});

/** pids of processes whose command line satisfies `is`. */
function processes(is: (words: string[]) => boolean): number[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return is(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0"));
      } catch {
        return false;
      }
    })
    .map(Number);
}
const shims = () =>
  processes(
    (words) => words[0] === "containerd-shim-berth-v1" && words.some((w) => w.startsWith(folder.path)),
  );
/** Everything that must be gone at the end. */
const traces = () => ({
  mounts: readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(folder.path)),
  cgroups: globSync(`/sys/fs/cgroup/**/${PREFIX}-*`),
  processes: processes((words) =>
    words.some((w) => w.includes(PREFIX) || w.startsWith(`${folder.path}/shims`)),
  ),
  files: existsSync(join(folder.path, "shims")) ? readdirSync(join(folder.path, "shims")) : [],
  bundles: globSync(join(folder.path, "cd-state/io.containerd.runtime.v2.task/*/*")),
});
const NOTHING = { mounts: [], cgroups: [], processes: [], files: [], bundles: [] };

async function waitFor(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + TIMEOUT_MS;
  while (!(await is())) {
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
const nothingLeft = () =>
  waitFor("the last trace to go", () => JSON.stringify(traces()) === JSON.stringify(NOTHING)).catch(() =>
    assert.deepEqual(traces(), NOTHING),
  );

let count = 0;
const name = () => `${PREFIX}-${++count}`;
const flags = () => ["--runtime", RUNTIME, "--rootfs", rootfs];
async function ctr(...args: string[]): Promise<Ran> {
  return containerd.ctr(...args);
}
async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ctr(...args);
  assert.equal(code, 0, `ctr ${args.join(" ")}: ${stderr}${stdout}`);
  return stdout;
}
/** ctr on a terminal. */
const onTerminal = (...args: string[]) =>
  run("/usr/bin/script", ["-qec", ["/usr/bin/ctr", "-a", containerd.socket, ...args].join(" "), "/dev/null"]);
interface Test {
  after(fn: () => Promise<unknown>): void;
}

/** A container that runs until it is killed; it is removed at the end. */
async function lasting(t: Test, ...command: string[]): Promise<string> {
  return lastingWith(t, [], ...command);
}
async function lastingWith(t: Test, options: string[], ...command: string[]): Promise<string> {
  const id = name();
  const words = command.length > 0 ? command : ["sleep", "1000"];
  await ok("run", "-d", ...options, ...flags(), id, ...words);
  t.after(async () => {
    await ctr("t", "kill", "-s", "SIGKILL", "-a", id);
    await waitFor("the end", async () => (await status(id)) !== "RUNNING");
    await ctr("t", "delete", id);
    await ctr("c", "rm", id);
  });
  return id;
}
async function status(id: string): Promise<string | undefined> {
  const line = (await ok("t", "ls")).split("\n").find((l) => l.startsWith(`${id} `));
  return line?.split(/\s+/)[2];
}

before(async () => {
  if (skip) return;
  folder = new Folder();
  rootfs = join(folder.path, "rootfs");
  makeRootfs(rootfs);
  mkdirSync(join(folder.path, "bin"));
  symlinkSync(SHIM, join(folder.path, "bin/containerd-shim-berth-v1"));
  containerd = await startContainerd(folder.path, env());
});
after(async () => {
  if (skip) return;
  await containerd.stop();
  for (const pid of shims()) process.kill(pid, "SIGKILL");
  await folder.remove();
});

test("run: output, exit codes, a missing command", { skip }, async () => {
  assert.equal(await ok("run", "--rm", ...flags(), name(), "echo", "hello"), "hello\n");
  assert.equal((await ctr("run", "--rm", ...flags(), name(), "sh", "-c", "exit 7")).code, 7);
  const failed = await ctr("run", "--rm", ...flags(), name(), "/no/such/program");
  assert.notEqual(failed.code, 0);
  assert.match(failed.stderr, /\/no\/such\/program/);
  await nothingLeft();
});

test("run -t has a terminal", { skip }, async () => {
  const { stdout, code } = await onTerminal(
    "run",
    "--rm",
    "-t",
    ...flags(),
    name(),
    "sh",
    "-c",
    "'tty; exit 4'",
  );
  assert.match(stdout, /\/dev\/pts\/\d/);
  assert.equal(code, 4);
});

test("exec, with streams, terminal and exit code; processes are listed with their exec", {
  skip,
}, async (t) => {
  const id = await lasting(t);
  const exec = (execId: string, ...words: string[]) => ["t", "exec", "--exec-id", execId, ...words];
  const ran = await ctr(...exec("one", id, "sh", "-c", "echo out; echo err >&2; exit 5"));
  assert.deepEqual(ran, { code: 5, stdout: "out\n", stderr: ran.stderr });
  assert.match(ran.stderr, /^err\n/);
  const input = await run(
    "/usr/bin/ctr",
    ["-a", containerd.socket, ...exec("two", id, "cat")],
    Buffer.from("data"),
  );
  assert.equal(input.stdout, "data");
  assert.equal(input.code, 0);
  const onTty = await onTerminal(...exec("three", "-t", id, "sh", "-c", "'tty; exit 6'"));
  assert.match(onTty.stdout, /\/dev\/pts\/\d/);
  assert.equal(onTty.code, 6);
  await ok(...exec("four", "-d", id, "sleep", "1000"));
  assert.match(await ok("t", "ps", id), /exec_id:"four"|ExecID:four|four/);
});

test("pause, resume, metrics, kill", { skip }, async (t) => {
  const id = await lasting(t);
  await ok("t", "pause", id);
  assert.equal(await status(id), "PAUSED");
  await ok("t", "resume", id);
  assert.equal(await status(id), "RUNNING");
  assert.match(await ok("t", "metrics", id), /memory\.usage_in_bytes +[1-9]/);
  await ok("t", "kill", "-s", "SIGTERM", "-a", id);
  await ok("t", "kill", "-s", "SIGKILL", id);
  await waitFor("the end", async () => (await status(id)) === "STOPPED");
  assert.match((await ctr("t", "delete", id)).stderr, /exit code 137/);
});

test("checkpoint", { skip: skip || skipWithoutCriu }, async (t) => {
  const id = await lastingWith(t, []);
  // For runtimes other than runc, ctr passes no options on, and containerd stores the image.
  await ok("t", "checkpoint", id);
  const images = (await ok("i", "ls", "-q")).split("\n").filter((ref) => ref.includes(id));
  assert.equal(images.length, 1);
  assert.equal(await status(id), "RUNNING");
  const manifest = JSON.parse(await ok("content", "get", (await ok("i", "ls")).match(/sha256:\w+/)![0]));
  const dump = manifest.manifests.find((m: { mediaType: string }) => m.mediaType.includes("criu"));
  assert.ok(dump.size > 10_000, "the image holds the process's memory");
  for (const ref of (await ok("i", "ls", "-q")).split("\n").filter(Boolean)) await ok("i", "rm", ref);
});

test("a container is restored from its checkpoint, under another name", {
  skip: skip || skipWithoutCriu,
}, async (t) => {
  const image = `docker.io/library/${PREFIX}:1`;
  const archive = join(folder.path, "image.tar");
  writeFileSync(archive, ociArchive(makeImage([busyboxLayer()]), image));
  await ok("images", "import", archive);
  const [first, second] = [name(), name()];
  t.after(async () => {
    for (const id of [first, second]) {
      await ctr("t", "kill", "-s", "SIGKILL", "-a", id);
      await ctr("t", "rm", "-f", id);
      await ctr("c", "rm", id);
    }
    for (const ref of (await ok("i", "ls", "-q")).split("\n").filter(Boolean)) await ok("i", "rm", ref);
  });
  const script = "i=0; while true; do i=$((i+1)); echo $i > /tmp/count; sleep 0.05; done";
  const counted = async (id: string) =>
    Number(await ok("t", "exec", "--exec-id", name(), id, "cat", "/tmp/count"));
  await ok("run", "-d", "--runtime", RUNTIME, image, first, "sh", "-c", script);
  await waitFor("a count", async () => (await counted(first)) > 5);
  await ok("c", "checkpoint", "--rw", "--task", first, `example.org/${PREFIX}:saved`);
  const before = await counted(first);
  await ok("t", "kill", "-s", "SIGKILL", first);
  await waitFor("the end", async () => (await status(first)) === "STOPPED");
  await ctr("t", "delete", first);
  await ok("c", "rm", first);
  await ok("c", "restore", "--rw", "--live", second, `example.org/${PREFIX}:saved`);
  assert.equal(await status(second), "RUNNING");
  await waitFor("it to go on", async () => (await counted(second)) > before);
});

test("events come in order", { skip }, async (t) => {
  const id = name();
  const events = spawn("/usr/bin/ctr", ["-a", containerd.socket, "events"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => events.kill());
  let seen = "";
  events.stdout.on("data", (chunk) => (seen += chunk));
  // Only events after the subscription arrive: others are triggered until one is seen.
  await waitFor("an event", async () => {
    await ok("c", "create", ...flags(), `${id}-probe`);
    await ok("c", "rm", `${id}-probe`);
    return seen !== "";
  });
  await ok("run", "--rm", ...flags(), id, "true");
  const topics = () =>
    seen
      .split("\n")
      .filter((line) => line.includes(`"${id}"`))
      .map((line) => /\/tasks\/\w+/.exec(line)?.[0])
      .filter(Boolean);
  await waitFor("the task's deletion", () => topics().includes("/tasks/delete"));
  assert.deepEqual(topics(), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
});

test("one process serves all containers of a namespace, and one those of a group", { skip }, async (t) => {
  const first = await lasting(t);
  const [serving, ...others] = shims();
  assert.equal(others.length, 0);
  const second = await lasting(t);
  assert.deepEqual(shims(), [serving]);
  const id = name();
  await ok("run", "-d", "--annotation", "io.containerd.runc.v2.group=g", ...flags(), id, "sleep", "1000");
  assert.equal(shims().length, 2);
  await ok("t", "kill", "-s", "SIGKILL", id);
  await waitFor("the end", async () => (await status(id)) === "STOPPED");
  await ctr("t", "delete", id);
  await ok("c", "rm", id);
  await waitFor("the group's process to end", () => shims().length === 1);
  assert.deepEqual([await status(first), await status(second)], ["RUNNING", "RUNNING"]);
});

for (const signal of ["SIGTERM", "SIGKILL"] as const)
  test(`containers outlive containerd's ${signal}`, { skip }, async (t) => {
    const lives = await lasting(t);
    const ends = await lasting(t, "sh", "-c", "sleep 0.3; exit 9");
    await containerd.stop(signal);
    await waitFor(
      "the container to end",
      () => processes((w) => w[0] === "sleep" && w[1] === "0.3").length === 0,
    );
    containerd = await startContainerd(folder.path, env());
    assert.equal(await ok("t", "exec", "--exec-id", "after", lives, "echo", "still here"), "still here\n");
    assert.equal(await status(lives), "RUNNING");
    await waitFor("the exit", async () => (await status(ends)) === "STOPPED");
    assert.match((await ctr("t", "delete", ends)).stderr, /exit code 9/);
  });

test("kill -9 of the shim: its containers are killed, and nothing of them is left", { skip }, async () => {
  await nothingLeft();
  const ids = [name(), name(), name()];
  for (const id of ids) await ok("run", "-d", ...flags(), id, "sh", "-c", "sleep 1001 & sleep 1001");
  await ok("t", "exec", "-d", "--exec-id", "more", ids[0]!, "sleep", "1001");
  const [serving] = shims();
  process.kill(serving!, "SIGKILL");
  await waitFor("the tasks to go", async () => !(await ok("t", "ls")).includes(PREFIX));
  for (const id of ids) await ok("c", "rm", id);
  await nothingLeft();
  assert.deepEqual(
    processes((words) => words[0] === "sleep" && words[1] === "1001"),
    [],
  );
});

test("many at once", { skip }, async () => {
  const ids = Array.from({ length: 16 }, name);
  const outputs = await Promise.all(ids.map((id) => ok("run", "--rm", ...flags(), id, "echo", id)));
  assert.deepEqual(
    outputs,
    ids.map((id) => `${id}\n`),
  );
  await nothingLeft();
});

test("the binary's arguments", { skip }, async () => {
  const shim = (...args: string[]) => run(SHIM, args);
  assert.match((await shim("-v")).stdout, /^containerd-shim-berth-v1:\n {2}Version: /);
  const { stdout } = await shim("-info");
  assert.match(stdout, /containerd-shim-berth-v1/);
  assert.match(stdout, /"ociVersionMax":"1\.3\.0"/);
  assert.match((await shim("start")).stderr, /-namespace: found none/);
  assert.match((await shim("-namespace", "x", "-frob")).stderr, /-frob: found an argument that is not known/);
  assert.match((await shim("-namespace", "x", "dance")).stderr, /expected start or delete/);
});

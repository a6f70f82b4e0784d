/** The shim and its keepers: streams, logs, exits, and a daemon that is stopped and restarted. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { defaultSpec } from "@berth/oci";
import { realSys } from "@berth/sys";
import { traces } from "../support/bundles.ts";
import { ROOT } from "../support/checkout.ts";
import { bench, encode, mkfifo, NONE, reading } from "../support/shim.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

test("a container's lifecycle, its events in order, its exit in nanoseconds", async (t) => {
  const b = await bench(t);
  const ref = await b.create("exit 3");
  assert.equal(b.shim.state(ref).status, "created");
  await assert.rejects(
    b.shim.create({ ...ref, stdio: NONE, spec: encode({}), rootfs: [] }),
    /already exists/,
  );
  const begun = BigInt(Date.now()) * 1_000_000n;
  const { pid } = await b.shim.start(ref);
  const exit = await b.shim.wait(ref);
  assert.equal(exit.exitStatus, 3);
  assert.ok(exit.exitedAt > begun - 10_000_000n && exit.exitedAt < begun + 60_000_000_000n);
  await assert.rejects(b.shim.start(ref), /has stopped/);
  await assert.rejects(b.shim.kill(ref, 9, false), /already finished/);
  assert.deepEqual(await b.shim.delete(ref), { ...exit, pid });
  assert.throws(() => b.shim.state(ref), /not found/);
  assert.deepEqual(
    b.events.map((e) => e.topic),
    ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"],
  );
});

test("a program that cannot execute: after the failed start, its task can be deleted", async (t) => {
  const b = await bench(t);
  writeFileSync(join(b.folder, "image/tmp/crlf"), "#!/bin/sh\r\n", { mode: 0o755 });
  const ref = await b.create("", NONE, (spec) => {
    spec.process!.args = ["/tmp/crlf"];
  });
  await assert.rejects(b.shim.start(ref), /CR LF/);
  assert.equal(b.shim.state(ref).status, "stopped");
  assert.equal((await b.shim.delete(ref)).exitStatus, 127);
});

test("FIFOs: input reaches the process, output its reader, both with their end of file", async (t) => {
  const b = await bench(t);
  const [stdin, stdout, stderr] = ["in", "out", "err"].map((n) => mkfifo(join(b.folder, n))) as [
    string,
    string,
    string,
  ];
  const outputs = Promise.all([reading(stdout), reading(stderr)]);
  const ref = await b.create("cat; echo done >&2", { stdin, stdout, stderr, terminal: false });
  await b.shim.start(ref);
  const input = openSync(stdin, constants.O_WRONLY);
  writeSync(input, "hello ");
  closeSync(input);
  // The client disconnected and came back: no end of file until CloseIO.
  const again = openSync(stdin, constants.O_WRONLY);
  writeSync(again, "world");
  closeSync(again);
  assert.equal(b.shim.state(ref).status, "running");
  await b.shim.closeIO(ref);
  assert.deepEqual(await outputs, ["hello world", "done\n"]);
  assert.equal((await b.shim.wait(ref)).exitStatus, 0);
});

test("a client that vanishes does not kill the process", async (t) => {
  const b = await bench(t);
  const stdout = mkfifo(join(b.folder, "out"));
  const reader = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
  const ref = await b.create("echo one; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo two; exit 5", {
    ...NONE,
    stdout,
  });
  await b.shim.start(ref);
  closeSync(reader);
  writeFileSync(join(b.folder, "image/tmp/go"), "");
  assert.equal((await b.shim.wait(ref)).exitStatus, 5);
});

test("the log has CRI lines: streams, long lines in parts, a last line without a newline", async (t) => {
  const b = await bench(t);
  const log = join(b.folder, "c.log");
  const stdio = { ...NONE, stdout: `cri-log://${log}`, stderr: `cri-log://${log}` };
  const ref = await b.create(
    "echo out; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x; echo; printf end",
    stdio,
  );
  await b.shim.start(ref);
  await b.shim.wait(ref);
  const lines = readFileSync(log, "utf8")
    .trimEnd()
    .split("\n")
    .map((l) => /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([FP]) (.*)$/.exec(l)!);
  const stdout = lines.filter((l) => l[2] === "stdout");
  assert.deepEqual(
    stdout.map((l) => [l[3], l[4]!.length]),
    [
      ["F", 3],
      ["P", 16384],
      ["F", 3616],
      ["P", 3],
    ],
  );
  assert.deepEqual(
    lines.filter((l) => l[2] === "stderr").map((l) => l[4]),
    ["err"],
  );
});

test("with attach, the client gets the bytes and the log its lines", async (t) => {
  const b = await bench(t);
  const log = join(b.folder, "c.log");
  const fifo = mkfifo(join(b.folder, "out"));
  const output = reading(fifo);
  const ref = await b.create("printf 'a\\nb'", {
    ...NONE,
    stdout: `cri-log://${log}?attach=${fifo}`,
    stderr: `cri-log://${log}`,
  });
  await b.shim.start(ref);
  assert.equal(await output, "a\nb");
  await b.shim.wait(ref);
  assert.match(readFileSync(log, "utf8"), /stdout F a\n.* stdout P b\n$/);
});

test("a terminal is relayed, and resized", async (t) => {
  const b = await bench(t);
  const [stdin, stdout] = ["in", "out"].map((n) => mkfifo(join(b.folder, n))) as [string, string];
  const output = reading(stdout);
  const ref = await b.create("read line; stty size; echo got $line", {
    stdin,
    stdout,
    stderr: "",
    terminal: true,
  });
  await b.shim.start(ref);
  await b.shim.resizePty(ref, 101, 33);
  const input = openSync(stdin, constants.O_WRONLY);
  writeSync(input, "typed\n");
  await b.shim.wait(ref);
  closeSync(input);
  assert.match(await output, /typed\r\n33 101\r\ngot typed\r\n/);
});

test("file:// receives the output, other URIs are refused by their field", async (t) => {
  const b = await bench(t);
  const path = join(b.folder, "out.txt");
  const ref = await b.create("echo filed", { ...NONE, stdout: `file://${path}` });
  await b.shim.start(ref);
  await b.shim.wait(ref);
  assert.equal(readFileSync(path, "utf8"), "filed\n");
  await assert.rejects(b.create("true", { ...NONE, stderr: "relative" }), /stderr: found "relative"/);
});

test("exec'd processes: exit codes, pids, a failing one, one left when the container exits", async (t) => {
  const b = await bench(t);
  const ref = await b.create("sleep 100");
  const { pid } = await b.shim.start(ref);
  const add = (execId: string, ...args: string[]) =>
    b.shim.exec({
      ...ref,
      execId,
      stdio: NONE,
      process: encode({ ...defaultSpec().process, terminal: false, args }),
    });
  await add("quick", "sh", "-c", "exit 9");
  await b.shim.start({ ...ref, execId: "quick" });
  assert.equal((await b.shim.wait({ ...ref, execId: "quick" })).exitStatus, 9);
  await add("none", "nothing");
  await assert.rejects(b.shim.start({ ...ref, execId: "none" }), /executable file not found/);
  assert.equal((await b.shim.wait({ ...ref, execId: "none" })).exitStatus, 127);
  await add("long", "sleep", "100");
  const long = await b.shim.start({ ...ref, execId: "long" });
  assert.deepEqual(
    (await b.shim.pids(ref)).sort((x, y) => x.pid - y.pid),
    [{ pid }, { pid: long.pid, execId: "long" }].sort((x, y) => x.pid - y.pid),
  );
  await assert.rejects(b.shim.delete({ ...ref, execId: "long" }), /must be stopped/);
  await b.shim.kill(ref, 9, false);
  assert.equal((await b.shim.wait({ ...ref, execId: "long" })).exitStatus, 137);
  for (const execId of ["quick", "none", "long"]) await b.shim.delete({ ...ref, execId });
});

test("pause, resume, limits, statistics", async (t) => {
  const b = await bench(t);
  const ref = await b.create("sleep 100");
  await b.shim.start(ref);
  await b.shim.pause(ref);
  assert.equal(b.shim.state(ref).status, "paused");
  await b.shim.resume(ref);
  assert.equal(b.shim.state(ref).status, "running");
  await b.shim.update(ref, encode({ pids: { limit: 77 } }));
  const { typeUrl, value } = await b.shim.stats(ref);
  assert.match(typeUrl, /io\.containerd\.cgroups\.v[12]\.Metrics/);
  assert.ok(value.length > 50);
  await assert.rejects(b.shim.update(ref, encode({ pids: { limit: "many" } })), /limit/);
});

test("the same create twice at once: both get its result", async (t) => {
  const b = await bench(t);
  const spec = defaultSpec();
  spec.process!.terminal = false;
  const request = {
    namespace: "test",
    id: `test-${process.pid}-twice`,
    stdio: NONE,
    spec: encode(spec),
    rootfs: [{ type: "bind", source: join(b.folder, "image"), options: ["rbind"] }],
  };
  const [one, two] = await Promise.all([b.shim.create(request), b.shim.create(request)]);
  assert.equal(one.pid, two.pid);
});

test("a failed create leaves nothing behind", async (t) => {
  const b = await bench(t);
  const ref = await b.create("true");
  await assert.rejects(
    b.create("true", NONE, (s) => (s.process!.args = ["/nothing"])),
    /no such file/,
  );
  await assert.rejects(
    b.create("true", NONE, (s) => (s.process!.cwd = "x")),
    /cwd/,
  );
  assert.deepEqual(readdirSync(join(b.folder, "state/io.containerd.runtime.v2.task/test")), [ref.id]);
});

test("kill -9 of the daemon loses no container, no log line and no exit", async (t) => {
  const b = await bench(t);
  const log = join(b.folder, "c.log");
  const program = join(b.folder, "daemon.ts");
  const id = `test-${process.pid}-survivor`;
  // A separate daemon: creates, starts, prints that, and hangs.
  writeFileSync(
    program,
    `import { createTaskShim } from "${ROOT}/packages/shim/index.ts";
import { readFileSync } from "node:fs";
const shim = createTaskShim({ stateDir: "${b.folder}/state" });
const ref = { namespace: "test", id: "${id}" };
const stdio = { stdin: "", stdout: "cri-log://${log}", stderr: "cri-log://${log}", terminal: false };
await shim.create({ ...ref, stdio, spec: readFileSync("${b.folder}/spec.json"), rootfs: [{ type: "bind", source: "${b.folder}/image", options: ["rbind"] }] });
await shim.start(ref);
console.log("started");
setInterval(() => {}, 1000);
`,
  );
  const spec = defaultSpec();
  spec.process!.terminal = false;
  spec.process!.args = [
    "sh",
    "-c",
    "i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo line $i; sleep 0.01; done; exit 6",
  ];
  writeFileSync(join(b.folder, "spec.json"), JSON.stringify(spec));
  const daemon = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => daemon.stdout.once("data", resolve));
  daemon.kill("SIGKILL");
  await new Promise((resolve) => daemon.once("exit", resolve));
  const at = readFileSync(log, "utf8").length;
  while (readFileSync(log, "utf8").length < at + 200) await new Promise((resolve) => setTimeout(resolve, 5));
  const next = b.open();
  await next.recover();
  const ref = { namespace: "test", id };
  assert.equal(next.state(ref).status, "running");
  writeFileSync(join(b.folder, "image/tmp/stop"), "");
  assert.equal((await next.wait(ref)).exitStatus, 6);
  const numbers = readFileSync(log, "utf8")
    .trimEnd()
    .split("\n")
    .map((l) => Number(l.split(" ")[4]));
  assert.deepEqual(
    numbers,
    numbers.map((_, i) => i + 1),
    "lines are whole and in order",
  );
});

test("an exit without a daemon is found in its record; a keeper's death is an exit too", async (t) => {
  const b = await bench(t);
  const gone = await b.create("exit 4");
  const lost = await b.create("sleep 100");
  await b.shim.start(gone);
  await b.shim.wait(gone);
  await b.shim.start(lost);
  await b.shim.close();
  const next = b.open();
  await next.recover();
  assert.equal(next.state(gone).exitStatus, 4);
  const { pid } = next.state(lost);
  const keeper = Number(/PPid:\t(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  assert.match(readFileSync(`/proc/${keeper}/cmdline`, "utf8"), /^berth-init/);
  process.kill(keeper, "SIGKILL");
  assert.equal((await next.wait(lost)).exitStatus, 137);
  assert.equal(existsSync(`/proc/${pid}/root/bin`), false, "its process does not run on unseen");
});

test("keeper.sock: bad lines get an error, a flood is cut off, the socket is accessible to root only", async (t) => {
  const b = await bench(t);
  const ref = await b.create("sleep 100");
  await b.shim.start(ref);
  const name = readdirSync(join(b.folder, "state/keepers")).find((n) => n.endsWith(".sock"))!;
  const path = join(b.folder, "state/keepers", name);
  assert.equal(realSys.stat(path)!.mode & 0o077, 0);
  const exchange = (text: string) =>
    new Promise<string>((resolve) => {
      const socket = connect(path);
      let out = "";
      socket.on("data", (d) => {
        out += d;
        if (/\n.*\n$/s.test(out)) socket.end();
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve(out));
      socket.write(text);
    });
  const { pid } = b.shim.state(ref);
  assert.equal(await exchange("NONSENSE\n"), `PID ${pid}\nERR 22\n`);
  assert.equal(await exchange("RESIZE 1 1\n"), `PID ${pid}\nERR 25\n`);
  assert.equal(await exchange("KILL 0\n"), `PID ${pid}\nOK\n`);
  assert.doesNotMatch(await exchange("x".repeat(5000)), /OK|ERR/);
  assert.equal(b.shim.state(ref).status, "running");
});

test("200 fast exits: none is lost", async (t) => {
  const b = await bench(t);
  const one = async () => {
    const ref = await b.create("exit 7");
    await b.shim.start(ref);
    assert.equal((await b.shim.wait(ref)).exitStatus, 7);
    await b.shim.delete(ref);
  };
  for (let i = 0; i < 25; i++) await Promise.all(Array.from({ length: 8 }, one));
  const exits = b.events.filter((e) => e.topic === "/tasks/exit");
  assert.equal(exits.length, 200);
  const zombies =
    spawnSync("ps", ["--ppid", String(process.pid), "-o", "stat="], { encoding: "utf8" }).stdout.match(
      /Z/g,
    ) ?? [];
  assert.ok(zombies.length < 20, `${zombies.length} zombies`);
});

/** Checkpoints of tasks, and tasks from checkpoints: the streams are the client's, the keeper knows the exit. */
import assert from "node:assert/strict";
import { createReadStream, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { defaultSpec, type Spec } from "@berth/oci";
import type { Stdio } from "@berth/shim";
import { traces } from "../support/bundles.ts";
import { skipWithoutCriu as skip } from "../support/criu.ts";
import { type Bench, bench, encode, mkfifo, NONE, reading } from "../support/shim.ts";
import { until } from "../support/until.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

const COUNT = "i=0; while true; do i=$((i+1)); echo $i; echo $i > /tmp/count; sleep 0.05; done";
const writable = (spec: Spec) => {
  spec.root!.readonly = false;
};

const count = (b: Bench) => {
  const path = join(b.folder, "image/tmp/count");
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
};

/** Restores a checkpoint as a container of another name. */
async function restored(b: Bench, image: string, stdio: Stdio) {
  const ref = { namespace: "test", id: `restored-${process.pid}` };
  const spec = defaultSpec();
  spec.process!.terminal = false;
  spec.process!.args = ["sh", "-c", COUNT];
  writable(spec);
  const rootfs = [{ type: "bind", source: join(b.folder, "image"), options: ["rbind"] }];
  const created = await b.shim.create({ ...ref, stdio, spec: encode(spec), rootfs, checkpoint: image });
  assert.equal(created.pid, 0, "it comes into being with its start");
  return ref;
}

async function assertContinues(b: Bench, stdio: Stdio, again: Stdio, written: () => string): Promise<void> {
  const image = join(b.folder, "checkpoint");
  const ref = await b.create(COUNT, stdio, writable);
  await b.shim.start(ref);
  await until("it has come to that", () => count(b) >= 5);
  await b.shim.checkpoint(ref, { path: image, exit: true });
  assert.equal(b.shim.state(ref).status, "stopped");
  await b.shim.delete(ref);
  const stopped = count(b);
  const next = await restored(b, image, again);
  const { pid } = await b.shim.start(next);
  assert.ok(pid > 1);
  await until("it has come to that", () => count(b) >= stopped + 5);
  await until(
    "it has come to that",
    () => written().includes(`\n${stopped + 3}\n`) || written().includes(` ${stopped + 3}\n`),
  );
  // The keeper is its parent: a new daemon finds it, and its exit is reported.
  await b.shim.close();
  const another = b.open();
  await another.recover();
  assert.equal(another.state(next).status, "running");
  await another.kill(next, 15, false);
  await another.kill(next, 9, true);
  assert.equal((await another.wait(next)).exitStatus, 137);
  await another.delete(next);
}

test("a task with a log continues where it was", { skip }, async (t) => {
  const b = await bench(t);
  const log = join(b.folder, "log");
  const stdio = { ...NONE, stdout: `cri-log://${log}`, stderr: `cri-log://${log}` };
  await assertContinues(b, stdio, stdio, () => readFileSync(log, "utf8"));
});

test("a task with its client's FIFOs continues with another client's", { skip }, async (t) => {
  const b = await bench(t);
  const fifo = (name: string) => mkfifo(join(b.folder, name));
  const [first, second] = [fifo("first"), fifo("second")];
  let out = "";
  void reading(first).catch(() => {});
  createReadStream(second, { encoding: "utf8" }).on("data", (text) => {
    out += text;
  });
  const input = fifo("input");
  await assertContinues(
    b,
    { ...NONE, stdin: input, stdout: first },
    { ...NONE, stdin: input, stdout: second },
    () => out,
  );
});

test("a checkpoint that leaves the task running; an invalid request", { skip }, async (t) => {
  const b = await bench(t);
  const image = join(b.folder, "checkpoint");
  const ref = await b.create(COUNT, NONE, writable);
  await b.shim.start(ref);
  await until("it has come to that", () => count(b) >= 3);
  await b.shim.checkpoint(ref, { path: image, exit: false });
  assert.equal(b.shim.state(ref).status, "running");
  assert.ok(b.events.some((e) => e.topic === "/tasks/checkpointed" && e.path === image));
  const stopped = count(b);
  await until("it has come to that", () => count(b) > stopped);
  await assert.rejects(b.shim.checkpoint(ref, { path: "relative", exit: false }), /path: found "relative"/);
  // A failed restore leaves a task that can be deleted, and nothing else.
  const bad = await restored(b, join(b.folder, "nothing"), NONE);
  await assert.rejects(b.shim.start(bad), /no checkpoint in/);
  await b.shim.delete(bad);
});

test("a task with a terminal continues with another client's", { skip }, async (t) => {
  const b = await bench(t);
  const fifo = (name: string) => mkfifo(join(b.folder, name));
  const terminal = (n: number) => ({
    stdin: fifo(`in${n}`),
    stdout: fifo(`out${n}`),
    stderr: "",
    terminal: true,
  });
  const script = 'echo ready; read a; echo z"$a"z; stty size; test -t 1 && exit 3';
  const ref = await b.create(script, terminal(1), writable);
  const first = collect(join(b.folder, "out1"));
  await b.shim.start(ref);
  await until("it waits for input", () => first.text.includes("ready"));
  const image = join(b.folder, "checkpoint");
  await b.shim.checkpoint(ref, { path: image, exit: true });
  await b.shim.delete(ref);

  const stdio = terminal(2);
  const spec = { ...defaultSpec(), linux: { ...defaultSpec().linux } };
  spec.process!.terminal = true;
  writable(spec);
  const next = { namespace: "test", id: `restored-${process.pid}` };
  const rootfs = [{ type: "bind", source: join(b.folder, "image"), options: ["rbind"] }];
  await b.shim.create({ ...next, stdio, spec: encode(spec), rootfs, checkpoint: image });
  const second = collect(stdio.stdout);
  const { pid } = await b.shim.start(next);
  assert.ok(pid > 1);
  await b.shim.resizePty(next, 99, 33);
  writeFileSync(stdio.stdin, "hello\n");
  assert.equal((await b.shim.wait(next)).exitStatus, 3);
  await until("all output is there", () => second.text.includes("33 99"));
  assert.match(second.text, /zhelloz/);
  await b.shim.delete(next);
});

/** Collects what a FIFO brings. */
function collect(path: string): { text: string } {
  const out = { text: "" };
  createReadStream(path, { encoding: "utf8" }).on("data", (chunk) => {
    out.text += chunk;
  });
  return out;
}

/** Targets of a task's output: logging binaries, clients that do not read, large amounts. */
import assert from "node:assert/strict";
import {
  closeSync,
  constants,
  createReadStream,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultSpec, type Spec } from "@berth/oci";
import type { TaskOptions } from "@berth/shim";
import { traces } from "../support/bundles.ts";
import { bench, encode, mkfifo, NONE, reading } from "../support/shim.ts";
import { until } from "../support/until.ts";

let baseline: string[] = [];
before(() => {
  baseline = traces();
});
after(() => assert.deepEqual(traces(), baseline, "something was left behind"));

/** A logging binary that writes its arguments and its input into a folder. */
function loggerIn(folder: string, body: string): string {
  const path = join(folder, "logger");
  writeFileSync(path, `#!/bin/sh\ncd ${folder}\n${body}\n`, { mode: 0o755 });
  return path;
}

const COLLECT = `env | sort > env
echo "$@" > args
cat <&3 > out 5>&- & cat <&4 > err 5>&- &
exec 5>&-
wait
echo done > done`;

test("binary://: a logging binary gets both streams, the ids and its arguments, and reads to the end", async (t) => {
  const b = await bench(t);
  const uri = `binary://${loggerIn(b.folder, COLLECT)}?key=value&flag=`;
  const ref = await b.create("echo to out; echo to err >&2", { ...NONE, stdout: uri, stderr: uri });
  await b.shim.start(ref);
  await b.shim.wait(ref);
  const text = (name: string) => {
    try {
      return readFileSync(join(b.folder, name), "utf8");
    } catch {
      return "";
    }
  };
  await until("it has come to that", () => text("done") !== "");
  assert.equal(text("out"), "to out\n");
  assert.equal(text("err"), "to err\n");
  assert.equal(text("args"), "key value flag \n");
  assert.match(text("env"), new RegExp(`^CONTAINER_ID=${ref.id}\nCONTAINER_NAMESPACE=test\n`));
  // An exec'd process has its own logger.
  const running = await b.create("sleep 100");
  await b.shim.start(running);
  await b.shim.exec({
    ...running,
    execId: "more",
    stdio: { ...NONE, stdout: uri, stderr: uri },
    process: encode({ ...defaultSpec().process, terminal: false, args: ["echo", "added"] }),
  });
  await b.shim.start({ ...running, execId: "more" });
  await until("it has come to that", () => text("out") === "added\n");
});

test("a failing logging binary is named, and nothing of the container is left", async (t) => {
  const b = await bench(t);
  const bad = `binary://${loggerIn(b.folder, "exit 3")}`;
  await assert.rejects(
    b.create("true", { ...NONE, stdout: bad, stderr: bad }),
    /logger ended at once with exit code 3/,
  );
  const silent = `binary-v2://${loggerIn(b.folder, "exec 5>&-; sleep 0.2")}`;
  await assert.rejects(
    b.create("true", { ...NONE, stdout: silent, stderr: silent }),
    /without saying that it is ready/,
  );
  const none = "binary:///no/such/logger";
  await assert.rejects(b.create("true", { ...NONE, stdout: none, stderr: none }), /no\/such\/logger/);
  await assert.rejects(
    b.create("true", { ...NONE, stdout: none, stderr: "binary:///another" }),
    /stderr: found "binary:\/\/\/another", expected the logging program of stdout/,
  );
});

test("a client that does not read only blocks the process: its exit is reported, the log is complete", async (t) => {
  const b = await bench(t);
  const [stdin, stdout] = ["in", "out"].map((n) => mkfifo(join(b.folder, n))) as [string, string];
  const reader = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
  const ref = await b.create("yes 0123456789 | head -c 1000000; sleep 100", {
    stdin,
    stdout,
    stderr: "",
    terminal: true,
  });
  await b.shim.start(ref);
  await sleep(300);
  // The terminal and the FIFO are full; the keeper still answers, and reports the exit.
  await b.shim.resizePty(ref, 80, 25);
  await b.shim.kill(ref, 9, true);
  setTimeout(() => {
    const rest = createReadStream("", { fd: reader });
    rest.on("data", () => {});
    rest.on("error", () => {});
  }, 200);
  assert.equal((await b.shim.wait(ref)).exitStatus, 137);
});

test("1 GB through stdout arrives completely", async (t) => {
  const b = await bench(t);
  const stdout = mkfifo(join(b.folder, "out"));
  const SIZE = 1_000_000_000;
  const counted = new Promise<number>((resolve, reject) => {
    let total = 0;
    const stream = createReadStream(stdout, { highWaterMark: 1 << 20 });
    stream.on("data", (chunk) => {
      total += chunk.length;
    });
    stream.on("end", () => resolve(total));
    stream.on("error", reject);
  });
  const ref = await b.create(`head -c ${SIZE} /dev/zero`, { ...NONE, stdout });
  await b.shim.start(ref);
  assert.equal((await b.shim.wait(ref)).exitStatus, 0);
  assert.equal(await counted, SIZE);
});

test("stdin half closed: the process reads to the end and keeps writing", async (t) => {
  const b = await bench(t);
  const [stdin, stdout] = ["in", "out"].map((n) => mkfifo(join(b.folder, n))) as [string, string];
  const reader = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
  const ref = await b.create("wc -c; echo after", { stdin, stdout, stderr: "", terminal: false });
  await b.shim.start(ref);
  const input = openSync(stdin, constants.O_WRONLY);
  writeFileSync(input, "12345");
  closeSync(input);
  await sleep(50);
  assert.equal(b.shim.state(ref).status, "running", "a writer that leaves is no end of file");
  await b.shim.closeIO(ref);
  await b.shim.wait(ref);
  const buffer = Buffer.alloc(100);
  assert.equal(buffer.toString("utf8", 0, readSync(reader, buffer)), "5\nafter\n");
  closeSync(reader);
});

/** Runs a script that opens its streams again by name; returns what comes out of FIFOs, or of the log. */
async function reopen(
  t: TestContext,
  kind: "FIFOs" | "log",
  change: (spec: Spec) => void,
  options?: TaskOptions,
): Promise<string> {
  const b = await bench(t);
  const script = "echo out > /dev/stdout; echo err > /dev/stderr; echo $?";
  const path = join(b.folder, "stream");
  const uri = kind === "log" ? `cri-log://${path}` : mkfifo(path);
  const read = kind === "log" ? undefined : reading(path);
  const ref = await b.create(script, { ...NONE, stdout: uri, stderr: uri }, change, options);
  await b.shim.start(ref);
  await b.shim.wait(ref);
  await b.shim.delete(ref);
  const text = read === undefined ? readFileSync(path, "utf8").replace(/^\S+ \S+ F /gm, "") : await read;
  return text.split("\n").sort().join(" ").trim();
}

for (const kind of ["FIFOs", "log"] as const) {
  test(`${kind}: an ordinary user opens /dev/stdout, as images with USER do`, async (t) => {
    const seen = await reopen(t, kind, (s) => Object.assign(s.process!.user, { uid: 1000, gid: 1000 }));
    assert.equal(seen, "0 err out");
  });

  test(`${kind}: root of a user namespace opens /dev/stdout if the streams are its own`, async (t) => {
    const mapped = (s: Spec) => {
      s.linux!.namespaces!.push({ type: "user" });
      s.linux!.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      s.linux!.gidMappings = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
    };
    const ioOwner = { uid: 100_000, gid: 200_000 };
    assert.equal(await reopen(t, kind, mapped, { ioOwner }), "0 err out");
    assert.notEqual(await reopen(t, kind, mapped), "0 err out");
  });
}

test("an option moves the keepers into a cgroup", async (t) => {
  const memory = "/sys/fs/cgroup/memory";
  const name = `berth-test-shims-${process.pid}`;
  mkdirSync(`${memory}/${name}`);
  t.after(() => rmdirSync(`${memory}/${name}`));
  const b = await bench(t);
  const ref = await b.create("sleep 100", NONE, undefined, { shimCgroup: `/${name}` });
  await b.shim.start(ref);
  const inside = () => readFileSync(`${memory}/${name}/cgroup.procs`, "utf8").split("\n").length - 1;
  assert.equal(inside(), 1, "the keeper, not the container");
  const added = encode({ ...defaultSpec().process, terminal: false, args: ["sleep", "100"] });
  await b.shim.exec({ ...ref, execId: "more", stdio: NONE, process: added });
  await b.shim.start({ ...ref, execId: "more" });
  assert.equal(inside(), 2);
  await assert.rejects(b.create("true", NONE, undefined, { shimCgroup: "/no/such" }), /shim_cgroup/);
  await b.shim.kill(ref, 9, true);
  await b.shim.wait(ref);
  await b.shim.delete(ref);
  await until("the keepers are gone", () => inside() === 0);
});

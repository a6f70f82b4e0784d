import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { type LineEvents, linux, type RunOptions, realSys } from "./index.ts";
import { lineSplitter } from "./linux/lines.ts";

const scratch = (use: (folder: string) => void | Promise<void>) => async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-sys-"));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

test("a failed call names itself, its errno and the path", () => {
  assert.throws(
    () => linux.mkdirat(linux.AT_FDCWD, "/proc/nowhere/x", 0o755),
    (error: unknown) => {
      assert.ok(error instanceof BerthError);
      assert.deepEqual(
        [error.syscall, error.errno, error.path, error.code],
        ["mkdirat", "ENOENT", "/proc/nowhere/x", "not_found"],
      );
      return true;
    },
  );
});

test("text with a NUL never reaches the kernel", () => {
  assert.throws(() => linux.mkdirat(linux.AT_FDCWD, "/tmp/a\0b", 0o755), /NUL/);
});

test(
  "openat2 keeps links inside the root",
  scratch((folder) => {
    symlinkSync("/etc", join(folder, "out"));
    assert.throws(() => realSys.openInRoot(folder, "out/passwd", linux.O_RDONLY), /ENOENT/);
    assert.throws(() => realSys.openInRoot(folder, "../../../etc/passwd", linux.O_RDONLY), /ENOENT/);
    writeFileSync(join(folder, "here"), "x");
    symlinkSync("/here", join(folder, "in"));
    const fd = realSys.openInRoot(folder, "in", linux.O_RDONLY);
    assert.equal(Buffer.from(realSys.readSync(fd, 10)).toString(), "x");
    realSys.close(fd);
  }),
);

test("a spawned program gets exactly the descriptors it is given, and its exit code comes back", async () => {
  const [ours, theirs] = realSys.socketPair();
  const pid = realSys.spawn({
    path: "/bin/sh",
    argv: ["sh", "-c", "echo $A >&3; ls /proc/self/fd | tr '\\n' ' ' >&3; exit 7"],
    env: ["A=1", "PATH=/bin:/usr/bin"],
    fds: [-1, -1, -1, theirs],
  });
  realSys.close(theirs);
  let out = "";
  for (;;) {
    const bytes = await realSys.read(ours, 4096);
    if (bytes.length === 0) break;
    out += Buffer.from(bytes).toString();
  }
  realSys.close(ours);
  let code: number | undefined;
  while (code === undefined) {
    code = realSys.reap(pid);
    await realSys.sleep(1);
  }
  assert.equal(code, 7);
  const [variable, fds] = out.split("\n");
  assert.equal(variable, "1");
  // 3, and the one that ls has the folder open with.
  assert.ok(fds!.trim().split(" ").length <= 4, fds);
  assert.ok(!fds!.split(" ").includes(String(ours)));
});

test("a sealed file cannot be changed, and is executable by its number", () => {
  const fd = realSys.sealedFile("test", new TextEncoder().encode("content"));
  assert.ok(fd >= 128);
  assert.throws(() => realSys.write(fd, new Uint8Array([1])), /EPERM/);
  realSys.close(fd);
});

test(
  "replaceFile leaves no other file behind, mkfifo makes a FIFO, removeTree forgives",
  scratch((folder) => {
    const path = join(folder, "a");
    realSys.replaceFile(path, "1");
    realSys.replaceFile(path, "2");
    assert.equal(realSys.readText(path), "2");
    assert.deepEqual(realSys.list(folder), ["a"]);
    realSys.mkfifo(join(folder, "f"), 0o600);
    assert.equal(realSys.stat(join(folder, "f"))?.kind, "fifo");
    realSys.removeTree(join(folder, "nothing"));
    assert.equal(realSys.readTextIfAny(join(folder, "nothing")), undefined);
    assert.equal(existsSync(`${path}.new`), false);
  }),
);

test("poll reports a closed reader, and times out", async () => {
  const [ours, theirs] = realSys.socketPair();
  assert.equal(await realSys.poll(ours, 1, 5), 0);
  realSys.close(theirs);
  assert.ok((await realSys.poll(ours, 1, 1000)) & 16);
  realSys.close(ours);
});

test("times before 1970 keep 0 <= nanoseconds < 1e9", () => {
  assert.deepEqual([...linux.packTimes(-1n, 1_500_000_000n)], [-1n, 999_999_999n, 1n, 500_000_000n]);
});

test("SOCK_SEQPACKET keeps message boundaries; descriptors are passed along", async () => {
  const [a, b] = realSys.socketPair("packets");
  const [inner, outer] = realSys.socketPair();
  realSys.write(a, Buffer.from("one"));
  realSys.sendDescriptor(a, Buffer.from("two"), inner);
  realSys.close(inner);
  const first = await realSys.receive(b, 100);
  assert.deepEqual([Buffer.from(first.bytes).toString(), first.descriptors], ["one", []]);
  const second = await realSys.receive(b, 100);
  assert.equal(Buffer.from(second.bytes).toString(), "two");
  const [received] = second.descriptors;
  realSys.write(received!, Buffer.from("through"));
  assert.equal(Buffer.from(realSys.readSync(outer, 10)).toString(), "through");
  realSys.write(a, Buffer.from("too long"));
  await assert.rejects(realSys.receive(b, 3), /longer than 3 bytes/);
  realSys.close(a);
  assert.equal((await realSys.receive(b, 3)).bytes.length, 0, "the peer has closed");
  for (const fd of [b, received!, outer]) realSys.close(fd);
});

test("readlink reads links; makeRaw returns undefined without a terminal", () => {
  assert.match(realSys.readlink("/proc/self/exe")!, /^\//);
  assert.equal(realSys.readlink("/proc/self/nothing"), undefined);
  const fd = realSys.open("/dev/null", 0);
  assert.equal(realSys.makeRaw(fd), undefined);
  realSys.close(fd);
});

test("text is split into lines wherever chunks end; long lines are truncated", () => {
  const lines: string[] = [];
  const push = lineSplitter(4, (line) => lines.push(line));
  for (const text of ["ab", "c\n\nd", "", "ef\nlong", "er than", " four\nx"]) push(text);
  assert.deepEqual(lines, ["abc", "", "def", "long"]);
  push("\n");
  assert.deepEqual(lines.at(-1), "x");
});

/** Collects the lines of a channel. */
function collector(): { events: LineEvents; lines: string[]; closed: Promise<void> } {
  const lines: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  return { events: { onLine: (line) => lines.push(line), onClose: resolve }, lines, closed: promise };
}

test(
  "connectLines sends and receives lines until the peer closes",
  scratch(async (folder) => {
    const path = join(folder, "s");
    const server = net.createServer((socket) => {
      socket.setEncoding("utf8");
      socket.write("hel");
      socket.on("data", (text) => socket.end(`lo\n${text}`));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const { events, lines, closed } = collector();
    const channel = await realSys.connectLines(path, events, 100);
    channel!.send("there");
    await closed;
    assert.deepEqual(lines, ["hello", "there"]);
    assert.ok(channel!.closed);
    server.close();
    assert.equal(await realSys.connectLines(join(folder, "nothing"), events, 100), undefined);
  }),
);

// Bun has no sockets over given descriptors; only berthd, which runs on Node, reads FIFOs.
test(
  "readLines reads a FIFO across writers until the channel is closed",
  { skip: process.versions.bun !== undefined },
  scratch(async (folder) => {
    const path = join(folder, "fifo");
    realSys.mkfifo(path, 0o600);
    const { promise, resolve } = Promise.withResolvers<void>();
    const lines: string[] = [];
    const fd = realSys.open(path, linux.O_RDWR | linux.O_NONBLOCK);
    const channel = realSys.readLines(
      fd,
      { onLine: (line) => lines.push(line) === 2 && channel.close(), onClose: resolve },
      100,
    );
    for (const text of ["one\n", "two\n"]) {
      const writer = realSys.open(path, linux.O_WRONLY);
      realSys.write(writer, Buffer.from(text));
      realSys.close(writer);
    }
    // The channel does not keep the process alive.
    const hold = setInterval(() => {}, 1000);
    await promise;
    clearInterval(hold);
    assert.deepEqual(lines, ["one", "two"]);
  }),
);

test("run returns exit and output of a program, with limits on time and size", async () => {
  const run = (script: string, more: Partial<RunOptions> = {}) =>
    realSys.run({
      path: "/bin/sh",
      args: ["-c", script],
      cwd: "/proc",
      env: { A: "1" },
      timeoutMs: 30_000,
      maxOutput: 20,
      ...more,
    });
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  const good = await run("pwd; echo $A >&2; exit 3");
  assert.deepEqual([good.code, good.signal, good.truncated], [3, undefined, false]);
  assert.deepEqual([text(good.stdout), text(good.stderr)], ["/proc\n", "1\n"]);
  const input = new TextEncoder().encode("given");
  assert.equal(text((await run("cat", { input })).stdout), "given");
  assert.equal((await run("exit 4", { input: new Uint8Array(1 << 20) })).code, 4);
  assert.equal(text((await run("cat")).stdout), "");
  assert.ok((await run("echo a text that is longer than that")).truncated);
  const killed = await run("kill -9 $$");
  assert.deepEqual([killed.code, killed.signal], [undefined, "SIGKILL"]);
  assert.equal((await run("exec sleep 1000", { timeoutMs: 1 })).signal, "SIGKILL");
  await assert.rejects(run("", { path: "/nothing" }), { code: "not_found", errno: "ENOENT" });
});

test("executable follows the file's mode; programPath is executable", () => {
  assert.ok(realSys.executable("/bin/sh"));
  assert.ok(!realSys.executable("/etc/passwd"));
  assert.ok(!realSys.executable("/nothing"));
  assert.ok(realSys.executable(realSys.programPath()));
  assert.ok(realSys.processors() >= 1);
});

test(
  "tryLock fails while another descriptor holds the lock",
  scratch((folder) => {
    const path = join(folder, "lock");
    const [a, b] = [realSys.open(path, linux.O_CREAT | 2), realSys.open(path, 2)];
    assert.ok(realSys.tryLock(a));
    assert.ok(!realSys.tryLock(b));
    realSys.close(a);
    assert.ok(realSys.tryLock(b));
    realSys.close(b);
  }),
);

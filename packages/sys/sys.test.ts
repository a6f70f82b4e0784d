import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import { linux, realSys } from "./index.ts";

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

test("poll tells a closed reader, and gives up in time", async () => {
  const [ours, theirs] = realSys.socketPair();
  assert.equal(await realSys.poll(ours, 1, 5), 0);
  realSys.close(theirs);
  assert.ok((await realSys.poll(ours, 1, 1000)) & 16);
  realSys.close(ours);
});

test("times before 1970 keep 0 <= nanoseconds < 1e9", () => {
  assert.deepEqual([...linux.packTimes(-1n, 1_500_000_000n)], [-1n, 999_999_999n, 1n, 500_000_000n]);
});

test("messages are kept apart, and descriptors travel with them", async () => {
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

test("links are read, and what is no terminal has no modes", () => {
  assert.match(realSys.readlink("/proc/self/exe")!, /^\//);
  assert.equal(realSys.readlink("/proc/self/nothing"), undefined);
  const fd = realSys.open("/dev/null", 0);
  assert.equal(realSys.makeRaw(fd), undefined);
  realSys.close(fd);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Operation } from "../plan/operations.ts";
import { diagnoseExecutable } from "./executable.ts";
import { failureOf } from "./failure.ts";
import { type InitRecord, RecordParser } from "./records.ts";

function record(kind: number, a: number, b: number, detail = ""): Uint8Array {
  const text = new TextEncoder().encode(detail);
  const out = new Uint8Array(24 + text.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, text.length, true);
  view.setInt32(8, a, true);
  view.setInt32(12, b, true);
  view.setBigInt64(16, 1_500_000n, true);
  out.set(text, 24);
  return out;
}

test("records are parsed from a stream however it is split", () => {
  const bytes = new Uint8Array([...record(1, 42, 0), ...record(2, 7, 2, "why"), ...record(5, 0, 0)]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const parser = new RecordParser();
    const all = [...parser.push(bytes.slice(0, cut)), ...parser.push(bytes.slice(cut))];
    assert.deepEqual(
      all.map((r) => [r.kind, r.a]),
      [
        ["pid", 42],
        ["failed", 7],
        ["ready", 0],
      ],
    );
    assert.equal(all[0]!.timeMs, 1.5);
    assert.equal(new TextDecoder().decode(all[1]!.detail), "why");
  }
});

test("a stream that does not consist of records yields none", () => {
  assert.deepEqual(new RecordParser().push(new Uint8Array(100).fill(255)), []);
});

const op = (name: Operation["name"], words: string, ...args: Operation["args"]): Operation => ({
  name,
  args,
  words,
  stage: "mount",
  optional: false,
  ifPresent: false,
});
const failed = (errno: number, detail = ""): InitRecord => ({
  kind: "failed",
  a: 4 << 16,
  b: errno,
  timeMs: 0,
  detail: new TextEncoder().encode(detail),
});

test("a failure has stage, operation, errno, the kernel's message, and a hint", () => {
  const error = failureOf(failed(2), () => op("open_tree", "take /data", 1, -100, "/data", 1));
  assert.equal(error.message, "mount: cannot take /data: open_tree: ENOENT");
  assert.deepEqual([error.code, error.syscall, error.path], ["not_found", "open_tree", "/data"]);
  assert.match(error.hint!, /create the source/);
  assert.match(
    failureOf(failed(22, "e overlay: bad option"), () => op("fsconfig", "set x", 1)).message,
    /\(e overlay: bad option\)/,
  );
});

test("a failure outside an operation has a hint too", () => {
  assert.match(failureOf({ ...failed(28), a: 0xffff }, () => undefined).hint!, /max_\*_namespaces/);
  assert.match(failureOf({ ...failed(1), a: 0xffff }, () => undefined).hint!, /one of type "user"/);
});

test("a missing program: the messages that docker maps to exit codes 126 and 127", () => {
  assert.match(
    failureOf(failed(2), () => op("lookup", "find x", "x", "/bin")).message,
    /executable file not found in \$PATH/,
  );
  assert.match(
    failureOf(failed(2), () => op("lookup", "find", "/x", "/bin")).message,
    /stat \/x: no such file or directory/,
  );
  assert.match(failureOf(failed(13), () => op("lookup", "find", "/x", "/bin")).message, /permission denied/);
  assert.match(failureOf(failed(21), () => op("lookup", "find", "/x", "/bin")).message, /is a directory/);
});

const exec = op("exec", "execute", 1, "/app", "x");
const bytes = (text: string) => new TextEncoder().encode(text);

/** The head of a 64-bit little-endian ELF file for a machine, with an interpreter. */
function elf(machine: number, interpreter: string): Uint8Array {
  const out = new Uint8Array(256);
  const view = new DataView(out.buffer);
  out.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, machine, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 3, true);
  view.setBigUint64(72, 128n, true);
  view.setBigUint64(96, BigInt(interpreter.length + 1), true);
  out.set(bytes(interpreter), 128);
  return out;
}

test("diagnosis of an existing program that does not execute", () => {
  const messageFor = (errno: string, head: Uint8Array) => {
    const error = diagnoseExecutable(exec, errno, head, "x64");
    assert.ok(error.hint === undefined || error.hint.length > 10);
    return error.message;
  };
  assert.match(messageFor("ENOENT", bytes("#!/bin/bash\r\necho")), /CR LF/);
  assert.match(
    messageFor("ENOENT", bytes("#!/usr/bin/python3\n")),
    /interpreter \/usr\/bin\/python3 is not in the image/,
  );
  assert.match(messageFor("EACCES", bytes("#!/etc/passwd\n")), /cannot be executed/);
  assert.match(messageFor("ENOEXEC", bytes("#!\n")), /names no interpreter/);
  assert.match(messageFor("ENOEXEC", elf(183, "/lib/ld.so")), /built for AArch64/);
  assert.match(
    messageFor("ENOENT", elf(62, "/lib64/ld-linux.so.2")),
    /dynamic loader \/lib64\/ld-linux.so.2 is not in the image/,
  );
  assert.match(messageFor("ENOEXEC", bytes("echo hi\n")), /neither an ELF program nor a script/);
  assert.match(messageFor("ENOEXEC", new Uint8Array()), /the file is empty/);
  assert.match(messageFor("ENOEXEC", new Uint8Array([0x7f, 0x45, 0x4c, 0x46])), /cut off/);
  assert.equal(messageFor("E2BIG", elf(62, "/x")), "exec /app: argument list too long");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stdio } from "../contract/task-shim.ts";
import { streamsOf } from "./stdio.ts";

const none = { kind: "null" };
const fifo = (path: string) => ({ kind: "fifo", path });

/** The streams of a request that differs from one without any. */
function streams(stdio: Partial<Stdio>) {
  return streamsOf({ stdin: "", stdout: "", stderr: "", terminal: false, ...stdio });
}

function refused(stdio: Partial<Stdio>, message: RegExp): void {
  assert.throws(
    () => streams(stdio),
    (error: { code?: string; message?: string }) =>
      error.code === "invalid_argument" && message.test(error.message ?? ""),
    JSON.stringify(stdio),
  );
}

test("FIFOs, files and /dev/null", () => {
  assert.deepEqual(
    streams({ stdin: "/in", stdout: "fifo:///out%20put", stderr: "file:///var/log/x?ignored=1" }).streams,
    { stdin: fifo("/in"), stdout: fifo("/out put"), stderr: { kind: "file", path: "/var/log/x" } },
  );
  assert.deepEqual(streams({}).streams, { stdin: none, stdout: none, stderr: none });
});

test("a terminal has no stderr", () => {
  assert.deepEqual(streams({ stdin: "/in", stdout: "/out", stderr: "/err", terminal: true }).streams, {
    stdin: fifo("/in"),
    stdout: fifo("/out"),
    stderr: none,
  });
});

test("invalid URIs are refused, with the field's name", () => {
  refused({ stdin: "relative" }, /^stdin: found "relative", expected nothing, an absolute path/);
  refused({ stdout: "ftp:///x" }, /^stdout: /);
  refused({ stderr: "fifo://relative" }, /^stderr: .* expected an absolute path$/);
  refused({ stdin: "cri-log:///x" }, /^stdin: /);
});

test("a CRI log for stdout and stderr, with FIFOs for the raw bytes", () => {
  assert.deepEqual(
    streams({
      stdout: "cri-log:///log%20s/0.log?attach=/out&max-size=4096&max-files=3",
      stderr: "cri-log:///log%20s/0.log?attach=/err",
    }).streams,
    {
      stdin: none,
      stdout: fifo("/out"),
      stderr: fifo("/err"),
      log: "/log s/0.log",
      rotation: { bytes: 4096, files: 3 },
    },
  );
  const alone = streams({ stdout: "cri-log:///a" }).streams;
  assert.deepEqual(alone, { stdin: none, stdout: none, stderr: none, log: "/a" });
  const terminal = streams({ stdout: "cri-log:///a", stderr: "cri-log:///b", terminal: true }).streams;
  assert.deepEqual(terminal, { stdin: none, stdout: none, stderr: none, log: "/a" });
});

test("stdout and stderr share the CRI log", () => {
  refused({ stdout: "cri-log:///a", stderr: "cri-log:///b" }, /^stderr: .* the log file of stdout, \/a$/);
  refused({ stdout: "/out", stderr: "cri-log:///b" }, /^stderr: .* only where stdout has the same one$/);
  refused({ stdout: "cri-log:///a?attach=out" }, /^stdout: .* an absolute path$/);
});

test("rotation needs a positive size; invalid numbers are refused", () => {
  const rotation = (query: string) => streams({ stdout: `cri-log:///a?${query}` }).streams.rotation;
  assert.equal(rotation("max-size=0"), undefined);
  assert.equal(rotation("max-size=-1&max-files=2"), undefined);
  assert.deepEqual(rotation("max-size=10"), { bytes: 10, files: 1 });
  refused({ stdout: "cri-log:///a?max-size=1k" }, /a whole number as max-size/);
  refused({ stdout: "cri-log:///a?max-size=" }, /a whole number as max-size/);
  refused({ stdout: "cri-log:///a?max-size=10&max-files=0" }, /max-files from 1 to \d+/);
  refused({ stdout: "cri-log:///a?max-size=10&max-files=100000" }, /max-files from 1 to \d+/);
});

test("a logging program gets stdout and stderr as inherited descriptors", () => {
  const uri = "binary:///usr/bin/log%20ger?id=a%26b&level=1&id=2&flag=";
  const { streams: found, logger } = streams({ stdin: "/in", stdout: uri, stderr: uri });
  const slot = (n: number) => ({ kind: "inherited", slot: n });
  assert.deepEqual(found, { stdin: fifo("/in"), stdout: slot(0), stderr: slot(1) });
  assert.deepEqual(logger, {
    path: "/usr/bin/log ger",
    // The first value of a repeated key, as in containerd.
    args: ["id", "a&b", "level", "1", "flag", ""],
    mustSayReady: false,
  });
  assert.equal(streams({ stdout: "binary-v2:///l" }).logger?.mustSayReady, true);
  assert.deepEqual(streams({ stdout: uri }).streams.stderr, none);
  assert.deepEqual(streams({ stdout: uri, stderr: "/err", terminal: true }).streams.stderr, none);
});

test("stdout and stderr share the logging program", () => {
  refused({ stdout: "binary:///a", stderr: "binary:///b" }, /^stderr: .* the logging program of stdout/);
  refused({ stdout: "/out", stderr: "binary:///b" }, /^stderr: .* only where stdout has the same one$/);
  refused({ stdout: "binary:a" }, /^stdout: /);
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isSelected, parseLogLine } from "./cri.ts";
import { LineReader, tailPosition } from "./file.ts";

test("lines in CRI format", () => {
  const time = "2026-01-31T12:00:00.123456789Z";
  assert.deepEqual(parseLogLine(`${time} stdout F a b`), {
    time,
    stream: "stdout",
    complete: true,
    text: "a b",
  });
  assert.deepEqual(parseLogLine(`${time} stderr P `), { time, stream: "stderr", complete: false, text: "" });
  assert.equal(parseLogLine(`${time} stdout F`)?.text, "");
  for (const bad of ["", "x", "a b c", `${time} stdin F x`]) assert.equal(parseLogLine(bad), undefined);
  const entry = parseLogLine(`${time} stdout F x`)!;
  assert.ok(isSelected(entry, { since: new Date("2026-01-31T11:00:00Z") }));
  assert.ok(!isSelected(entry, { until: new Date("2026-01-31T11:00:00Z") }));
});

test("tails, growth and rotation", () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-logs-"));
  const path = join(folder, "log");
  try {
    const long = "x".repeat(70_000);
    writeFileSync(path, `1\n${long}\n3\n4\n`);
    const from = (count: number) => {
      const reader = new LineReader(path, tailPosition(path, count));
      const lines = [...reader.read()];
      reader.close();
      return lines;
    };
    assert.deepEqual(from(2), ["3", "4"]);
    assert.deepEqual(from(3), [long, "3", "4"]);
    assert.deepEqual(from(9), ["1", long, "3", "4"]);
    assert.deepEqual(from(0), []);
    const reader = new LineReader(path, tailPosition(path, 1));
    assert.deepEqual([...reader.read()], ["4"]);
    appendFileSync(path, "5\nhal");
    assert.deepEqual([...reader.read()], ["5"]);
    appendFileSync(path, "f\n");
    assert.deepEqual([...reader.read()], ["half"]);
    renameSync(path, `${path}.1`);
    writeFileSync(path, "new\n");
    assert.deepEqual([...reader.read()], ["new"]);
    // Two rotations between reads: nothing is skipped.
    appendFileSync(path, "last of it\n");
    renameSync(`${path}.1`, `${path}.3`);
    renameSync(path, `${path}.2`);
    writeFileSync(`${path}.1`, "between\n");
    writeFileSync(path, "newest\n");
    assert.deepEqual([...reader.read()], ["last of it", "between", "newest"]);
    reader.close();
    // A tail reaches into rotated files; a reader without one begins with the oldest.
    assert.deepEqual(from(3), ["last of it", "between", "newest"]);
    const fromOldest = new LineReader(path);
    assert.deepEqual([...fromOldest.read()].slice(-6), [
      "5",
      "half",
      "new",
      "last of it",
      "between",
      "newest",
    ]);
    fromOldest.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a log that is rotated while it is read is read once, and whole", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berth-logs-"));
  const path = join(folder, "log");
  const count = 2000;
  // As a keeper does it, and without a pause: a line for each write, a new file every eight lines.
  const program = `
    const { appendFileSync, renameSync, writeFileSync } = require("node:fs");
    const [path, count] = process.argv.slice(-2);
    let files = 0;
    for (let line = 1; line <= count; line++) {
      appendFileSync(path, line + "\\n");
      if (line % 8 !== 0) continue;
      for (let n = ++files; n > 1; n--) renameSync(path + "." + (n - 1), path + "." + n);
      renameSync(path, path + ".1");
      writeFileSync(path, "");
    }`;
  const writer = spawn(process.execPath, ["-e", program, path, String(count)], { stdio: "inherit" });
  try {
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 1));
    const reader = new LineReader(path);
    let last = 0;
    while (last < count) {
      for (const line of reader.read()) {
        if (Number(line) !== last + 1) assert.fail(`line ${line} after line ${last}`);
        last++;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    reader.close();
  } finally {
    writer.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  }
});

/**
 * The log writer alone (`berth-init --log`): every byte of every line arrives, whatever its length and however it was
 * split.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { test } from "node:test";
import { LOG_MODE } from "@berth/base";
import { ROOT } from "../support/checkout.ts";

const LINE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$/s;

/** Writes chunks to both streams and returns the log's lines. */
async function logged(stdout: string[], stderr: string[]): Promise<RegExpExecArray[]> {
  const folder = mkdtempSync(join(tmpdir(), "berth-log-"));
  try {
    const path = join(folder, "log");
    const child = spawn(join(ROOT, "bin/berth-init"), ["--log", [path, "", "", 0, 1, LOG_MODE].join("\n")], {
      stdio: ["ignore", "ignore", "inherit", "pipe", "pipe"],
    });
    const ended = once(child, "exit");
    const feed = async (stream: Writable, pieces: string[]) => {
      for (const piece of pieces) {
        if (!stream.write(piece, "latin1")) await once(stream, "drain");
        await new Promise((resolve) => setImmediate(resolve));
      }
      stream.end();
    };
    await Promise.all([feed(child.stdio[3] as Writable, stdout), feed(child.stdio[4] as Writable, stderr)]);
    assert.deepEqual(await ended, [0, null]);
    const lines = readFileSync(path, "latin1").split("\n");
    assert.equal(lines.pop(), "");
    return lines.map((line) => LINE.exec(line) ?? assert.fail(`not a line of a log: ${line.slice(0, 80)}`));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const text = (lines: RegExpExecArray[], stream: string) =>
  lines.flatMap(([, name, tag, line]) => (name === stream ? [line, tag === "F" ? "\n" : ""] : [])).join("");

test("lines of every length, split anywhere", { timeout: 60_000 }, async () => {
  const lines = Array.from({ length: 400 }, (_, n) => {
    const letter = String.fromCharCode(97 + (n % 26));
    return `${letter.repeat(n % 3 === 0 ? (n * 131) % 40_000 : n % 70)}${n}\n`;
  });
  const whole = lines.join("");
  const pieces: string[] = [];
  for (let at = 0, size = 1; at < whole.length; at += size, size = (size * 7 + 3) % 9001)
    pieces.push(whole.slice(at, at + size));
  const error = ["x", "y\n", "\n", "unfinished"];
  const found = await logged(pieces, error);
  assert.ok(text(found, "stdout") === whole);
  assert.equal(text(found, "stderr"), error.join(""));
  for (const [, , tag, line] of found) {
    assert.ok(line!.length <= 16_384);
    if (tag === "P" && line !== "unfinished") assert.equal(line!.length, 16_384);
  }
  assert.equal(found.filter(([, , , line]) => line === "unfinished").length, 1);
  const stamps = found.map(([line]) => line!.slice(0, 30));
  assert.deepEqual(stamps, [...stamps].sort());
});

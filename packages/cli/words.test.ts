import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSignal } from "./signals.ts";
import { DetachScanner, parseDetachKeys } from "./terminal/detach.ts";
import { formatBinarySize, formatSize, formatSpan, parseMoment, parseSize } from "./units.ts";

test("sizes and spans", () => {
  assert.equal(parseSize("-m", "512m"), 512 * 2 ** 20);
  assert.equal(parseSize("-m", "1.5GiB"), 1.5 * 2 ** 30);
  assert.throws(() => parseSize("-m", "lots"), /-m: found "lots"/);
  assert.equal(formatSize(1234567), "1.23MB");
  assert.equal(formatSize(999), "999B");
  assert.equal(formatBinarySize(1536), "1.5KiB");
  const spans: [number, string][] = [
    [200, "Less than a second"],
    [1000, "1 second"],
    [59_000, "59 seconds"],
    [61_000, "About a minute"],
    [120_000, "2 minutes"],
    [3_700_000, "About an hour"],
    [47 * 3_600_000, "47 hours"],
    [49 * 3_600_000, "2 days"],
    [15 * 86_400_000, "2 weeks"],
    [800 * 86_400_000, "2 years"],
  ];
  for (const [ms, words] of spans) assert.equal(formatSpan(ms), words);
  assert.equal(parseMoment("--since", "1h30m", 10_000_000).getTime(), 10_000_000 - 5_400_000);
  assert.equal(parseMoment("--since", "1700000000").getTime(), 1_700_000_000_000);
  assert.throws(() => parseMoment("--since", "soon"), /expected a time/);
});

test("signals", () => {
  for (const [text, number] of [
    ["KILL", 9],
    ["sigterm", 15],
    ["9", 9],
    ["RTMIN+3", 37],
    ["SIGRTMAX-1", 63],
  ] as const)
    assert.equal(parseSignal("-s", text), number);
  for (const bad of ["", "0", "65", "NOPE", "RTMAX-40x"])
    assert.throws(() => parseSignal("-s", bad), /expected a signal/);
});

test("detach keys are detected however the input is split", () => {
  const keys = parseDetachKeys("ctrl-p,ctrl-q");
  assert.deepEqual(keys, [16, 17]);
  const scan = (...chunks: number[][]) => {
    const scanner = new DetachScanner(keys);
    const passed: number[] = [];
    for (const chunk of chunks) {
      const { pass, detach } = scanner.feed(Uint8Array.from(chunk));
      passed.push(...pass);
      if (detach) return { passed, detach };
    }
    return { passed, detach: false };
  };
  assert.deepEqual(scan([1, 16, 17, 2]), { passed: [1], detach: true });
  assert.deepEqual(scan([16], [17]), { passed: [], detach: true });
  assert.deepEqual(scan([16, 3]), { passed: [16, 3], detach: false });
  assert.deepEqual(scan([16, 16, 17]), { passed: [16], detach: true });
  assert.throws(() => parseDetachKeys("ctrl"), /expected a letter/);
});

import assert from "node:assert/strict";
import test from "node:test";
import { configureLog, stage } from "@berth/base";
import { Recorder } from "./recorder.ts";
import { Watchdog } from "./watchdog.ts";

test("a long operation is logged, with its stage and path, and again at twice its age", async () => {
  const lines: Record<string, unknown>[] = [];
  configureLog({ format: "json", write: (line) => lines.push(JSON.parse(line)) });
  const recorder = new Recorder();
  recorder.start();
  const watchdog = new Watchdog(recorder);
  const { promise, resolve } = Promise.withResolvers<void>();
  const begin = performance.now();
  const slow = stage("tasks.Create", { container: "c1" }, () =>
    stage("runtime create", { path: "/slow" }, () => promise),
  );
  const patient = stage("containers.Stop", { container: "c2" }, () =>
    stage("grace period", {}, () => promise),
  );
  watchdog.check(begin + 29_000);
  assert.equal(lines.length, 0);
  watchdog.check(begin + 31_000);
  watchdog.check(begin + 40_000);
  watchdog.check(begin + 63_000);
  resolve();
  await Promise.all([slow, patient]);
  watchdog.check(begin + 300_000);
  recorder.stop();
  configureLog({ format: "text", write: (line) => process.stderr.write(line) });
  assert.deepEqual(
    lines.map(({ operation, container, path, stage, seconds }) => [
      operation,
      container,
      path,
      stage,
      seconds,
    ]),
    [31, 63].map((s) => ["tasks.Create", "c1", "/slow", "tasks.Create > runtime create", s]),
  );
});

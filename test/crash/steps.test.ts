/**
 * berthd is killed at every step of a request, and a new one takes over: nothing is lost, nothing leaks, and the
 * request succeeds when retried.
 *
 * The steps are those that the daemon took when it was not killed (see crash/killer.ts). There are hundreds: each run
 * takes a share of them; BERTH_TEST_ALL_STEPS=1 takes all of them. BERTH_TEST_SCENARIO=start BERTH_TEST_STEP=21
 * examines a single one, BERTH_TEST_VERBOSE=1 lists them.
 */
import assert from "node:assert/strict";
import { fork, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { cannotRun } from "../support/daemons.ts";
import { SCENARIOS } from "./scenarios.ts";
import type { Report, Work } from "./steps.ts";

/** Number of daemons in parallel. */
const LANES = Number(process.env.BERTH_TEST_LANES ?? 2);
/** One in so many points is tested. */
const SHARE = 8;
const all = process.env.BERTH_TEST_ALL_STEPS === "1";
const only = process.env.BERTH_TEST_STEP;

function run(work: Work): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "steps.ts"), {
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    let report: Report | undefined;
    child.once("message", (message) => {
      report = message as Report;
    });
    child.once("exit", (code) =>
      report === undefined
        ? reject(new Error(`${work.scenario}: the lane ended with ${code}`))
        : resolve(report),
    );
    child.send(work);
  });
}

test("kill -9 at every step", { skip: cannotRun() ?? false }, async (t) => {
  const names = Object.keys(SCENARIOS);
  const wanted = process.env.BERTH_TEST_SCENARIO?.split(",") ?? names;
  const commit = spawnSync("git", ["-C", import.meta.dirname, "rev-parse", "HEAD"], {
    encoding: "utf8",
  }).stdout;
  const seed = Number.parseInt(commit.slice(0, 8), 16) || 0;
  const queue: Work[] = wanted.flatMap((scenario) => {
    const work = (every: number, offset: number): Work => ({
      scenario,
      namespace: `crash-${process.pid}-${scenario}-${offset}`,
      every,
      offset,
      ...(only === undefined ? {} : { only: Number(only) }),
    });
    if (only !== undefined) return [work(1, 0)];
    return all ? Array.from({ length: LANES }, (_, lane) => work(LANES, lane)) : [work(SHARE, seed % SHARE)];
  });
  const reports: Report[] = [];
  const lane = async () => {
    for (let work = queue.shift(); work !== undefined; work = queue.shift()) {
      const began = performance.now();
      const report = await run(work);
      reports.push(report);
      if (process.env.BERTH_TEST_VERBOSE) process.stderr.write(`${JSON.stringify(report, null, 1)}\n`);
      const { scenario, steps, points, killed, missed, failures } = report;
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      t.diagnostic(
        `${scenario}: ${steps} steps, ${points} points; killed at ${killed}, ${missed} not come to, ${failures.length} failures, ${seconds} s`,
      );
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  assert.deepEqual(
    reports.flatMap(({ failures }) => failures),
    [],
  );
  for (const { scenario, killed } of reports)
    assert.ok(killed > 0, `${scenario}: the daemon was never killed`);
});

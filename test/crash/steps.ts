/**
 * A separate process that takes one daemon through some steps of one scenario, and reports to its parent. It is the
 * subreaper of everything that the daemon starts, so that leftover processes are below it.
 */
import { realSys } from "@berth/sys";
import { until } from "../support/until.ts";
import { Lane, type Point } from "./lane.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";

/** The work to do. */
export interface Work {
  scenario: string;
  namespace: string;
  /** Points whose number modulo `every` is `offset`. */
  every: number;
  offset: number;
  /** Only this step (for debugging a failure). */
  only?: number;
}

/** Result of the work. */
export interface Report {
  scenario: string;
  steps: number;
  points: number;
  /** Number of points at which the daemon was killed, and of those not reached that time. */
  killed: number;
  missed: number;
  failures: string[];
}

/** A spawned process works on by itself: the daemon is killed so many microseconds later, too. */
const DELAYS = [0, 300, 700, 1200, 2000, 3000, 5000];

/** Where to kill: before each step and after the last; in a run of equal steps, before the first and last. */
function pointsOf(steps: readonly string[]): Point[] {
  const points: Point[] = [];
  for (const [index, name] of [...steps, "(after the last)"].entries()) {
    if (name === steps[index - 1] && name === steps[index + 1]) continue;
    points.push({ at: index + 1, name });
    if (name.startsWith("spawn ")) for (const delay of DELAYS) points.push({ at: index + 1, delay, name });
  }
  return points;
}

/** Bystanders: one that writes a numbered line each second, and one that has exited. */
async function bystanders(lane: Lane): Promise<string> {
  const count = "i=0; while :; do i=$((i+1)); echo $i; sleep 1; done";
  await lane.must("run", "-d", "--name", "by", lane.image, "sh", "-c", count);
  await lane.must("run", "-d", "--name", "ended", lane.image, "sh", "-c", "exit 5");
  await lane.must("wait", "ended");
  return unchanged(lane);
}

async function unchanged(lane: Lane): Promise<string> {
  const [by, ended] = [await lane.inspect("by"), await lane.inspect("ended")];
  return JSON.stringify([
    by.Id,
    by.State.Status,
    by.State.Pid,
    ended.Id,
    ended.State.Status,
    ended.State.ExitCode,
  ]);
}

async function step(lane: Lane, scenario: Scenario, point: Point, rest: readonly string[], by: string) {
  await scenario.setup(lane);
  const { reached, result } = await lane.dieAt(point, () => scenario.act(lane));
  const problems: string[] = [];
  const leaks = await lane.leaks();
  problems.push(...leaks);
  const now = await unchanged(lane);
  if (now !== by) problems.push(`lost: bystanders were ${by}, are ${now}`);
  await scenario.survived?.(lane);
  const again = result.code === 0 ? result : await scenario.act(lane);
  if (again.code !== 0 && !scenario.done?.test(again.err))
    problems.push(`the retry failed: ${again.err || again.code}`);
  else await scenario.check(lane);
  await scenario.cleanup(lane);
  problems.push(...(await lane.settle(rest)));
  return { reached, problems };
}

/** The current daemon: it dies with this process, whatever happens to the parent. */
let current: Lane | undefined;

async function work({ scenario: name, namespace, every, offset, only }: Work): Promise<Report> {
  const scenario = SCENARIOS[name]!;
  const report: Report = { scenario: name, steps: 0, points: 0, killed: 0, missed: 0, failures: [] };
  const lane = new Lane(namespace);
  current = lane;
  try {
    await lane.up();
    await lane.load();
    const by = await bystanders(lane);
    await scenario.prepare?.(lane);
    // Once without a kill: whatever exists from then on is not a leak.
    const whole = async () => {
      await scenario.setup(lane);
      const steps = await lane.record(async () => {
        const { code, err } = await scenario.act(lane);
        if (code !== 0) throw new Error(`without a kill: ${err}`);
      });
      await scenario.check(lane);
      await scenario.cleanup(lane);
      return steps;
    };
    await whole();
    let rest = lane.traces();
    for (let stable = 0; stable < 3; ) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      const next = lane.traces();
      stable = next.join() === rest.join() ? stable + 1 : 0;
      rest = next;
    }
    const steps = await whole();
    const points = pointsOf(steps);
    report.steps = steps.length;
    report.points = points.length;
    if (process.env.BERTH_TEST_VERBOSE) process.stderr.write(`${steps.join("\n")}\n`);
    for (const [index, point] of points.entries()) {
      if (only === undefined ? index % every !== offset : point.at !== only) continue;
      const where = `${name}, step ${point.at}/${steps.length} ${point.name}${point.delay === undefined ? "" : ` +${point.delay} us`}`;
      try {
        const { reached, problems } = await step(lane, scenario, point, rest, by);
        if (reached) report.killed++;
        else report.missed++;
        report.failures.push(...problems.map((problem) => `${where}: ${problem}`));
        if (problems.some((problem) => /^(left over|lost)/.test(problem))) rest = lane.traces();
      } catch (error) {
        report.failures.push(`${where}: ${error instanceof Error ? error.message : error}`);
        if (!lane.alive) await lane.up();
        await scenario.cleanup(lane).catch(() => {});
        await lane.settle(rest);
        rest = lane.traces();
      }
      if (report.failures.length > 40) break;
    }
    // No line of the log is missing, across all these daemons.
    const lines = await until("the log has a line", async () => (await lane.must("logs", "by")) || undefined);
    const gap = lines.split("\n").findIndex((line, i) => line !== String(i + 1));
    if (gap >= 0) report.failures.push(`${name}: the log of a bystander has a gap at line ${gap + 1}`);
  } finally {
    scenario.finish?.();
    if (process.env.BERTH_TEST_VERBOSE) process.stderr.write(lane.log);
    await lane.close();
  }
  return report;
}

realSys.becomeSubreaper();
process.once("disconnect", () => void current?.close().finally(() => process.exit(1)));
process.once("message", (message: Work) => {
  work(message).then(
    (report) => process.send!(report, () => process.exit(0)),
    (error) =>
      process.send!(
        {
          scenario: message.scenario,
          steps: 0,
          points: 0,
          killed: 0,
          missed: 0,
          failures: [`${message.scenario}: ${error.stack}`],
        },
        () => process.exit(0),
      ),
  );
});

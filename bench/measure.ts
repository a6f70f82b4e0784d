/** Timing of whole commands and calls side by side, and tables of the results. */
import { linux } from "@berth/sys";

/** Times in milliseconds. */
export interface Figures {
  median: number;
  min: number;
}

export function figures(times: readonly number[]): Figures {
  const sorted = [...times].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)]!, min: sorted[0]! };
}

/**
 * Runs a program to its end with posix_spawn, so that the program is timed, not our fork. Waits on a thread, so that
 * the daemons' logs are still read: a full pipe would block them.
 */
export async function runProgram(argv: readonly string[]): Promise<{ ms: number; code: number }> {
  const nothing = linux.syscall(
    "openat",
    "/dev/null",
    linux.AT_FDCWD,
    "/dev/null",
    linux.O_RDWR | linux.O_CLOEXEC,
    0,
  );
  const status = new Int32Array(1);
  const begin = performance.now();
  const pid = linux.spawn({
    path: argv[0]!,
    argv,
    env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    fds: [nothing, nothing, nothing],
  });
  await linux.syscallAsync("wait4", undefined, pid, status, 0, null);
  const ms = performance.now() - begin;
  linux.close(nothing);
  return { ms, code: linux.exitCodeOf(status[0]!) };
}

/** One contender of a comparison; `once` does the work, returns its duration in milliseconds, and may throw. */
export interface Contender<T = number> {
  name: string;
  once(round: number): T | Promise<T>;
}

/** Figures of each contender, or why it failed. */
export type Results = ReadonlyMap<string, Figures | string>;

/**
 * Runs the contenders in turn, round after round, so that a drift of the machine affects all alike. The first
 * `warmup` rounds do not count: a daemon is measured in its steady state.
 */
export async function compare(
  contenders: readonly Contender[],
  rounds: number,
  warmup = 2,
): Promise<Results> {
  const several = contenders.map(({ name, once }) => ({
    name,
    once: async (round: number) => [await once(round)],
  }));
  return (await compareAll(several, 1, rounds, warmup))[0]!;
}

/** The same for work with several measurements; results in their order. */
export async function compareAll(
  contenders: readonly Contender<readonly number[]>[],
  measures: number,
  rounds: number,
  warmup: number,
): Promise<Results[]> {
  const times = new Map<string, (readonly number[])[]>(contenders.map((c) => [c.name, []]));
  const broken = new Map<string, string>();
  for (let round = -warmup; round < rounds; round++) {
    for (const { name, once } of contenders) {
      if (broken.has(name)) continue;
      try {
        const found = await once(round + warmup);
        if (round >= 0) times.get(name)!.push(found);
      } catch (error) {
        broken.set(name, (error as Error).message);
      }
    }
  }
  return Array.from({ length: measures }, (_, i) => {
    const of = (name: string) => broken.get(name) ?? figures(times.get(name)!.map((all) => all[i]!));
    return new Map(contenders.map(({ name }) => [name, of(name)]));
  });
}

const cell = (result: Figures | string | undefined) =>
  result === undefined
    ? "-"
    : typeof result === "string"
      ? `fails: ${result.slice(0, 40)}`
      : `${result.median.toFixed(1)} (${result.min.toFixed(1)})`;

/** One row of a Markdown table: the work, each contender's median (minimum), and our ratio to each other one. */
export function row(work: string, ours: string, results: Results): string {
  const own = results.get(ours);
  const ratios = [...results].flatMap(([name, other]) =>
    name === ours || typeof other === "string" || own === undefined || typeof own === "string"
      ? []
      : [`${(own.median / other.median).toFixed(2)} of ${name}`],
  );
  return `| ${work} | ${[...results.values()].map(cell).join(" | ")} | ${ratios.join(", ") || "-"} |`;
}

/** The header of such a table. */
export function head(names: readonly string[]): string {
  return `| ms, median (min) | ${names.join(" | ")} | ratio of medians |\n|${"---|".repeat(names.length + 2)}`;
}

/** The last cell of a row of plain figures: the ratio of the first contender's to each other's. */
export function ratios(contenders: readonly { name: string }[], values: readonly number[]): string {
  const others = contenders
    .slice(1)
    .map(({ name }, i) => `${(values[0]! / values[i + 1]!).toFixed(2)} of ${name}`);
  return others.join(", ");
}

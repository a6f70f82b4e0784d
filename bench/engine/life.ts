/**
 * A container's lifecycle through the API: sequentially, concurrently, and its CPU cost besides the container's own.
 */
import { compare, head, ratios, row } from "../measure.ts";
import { type Engine, many } from "./client.ts";
import type { Setup } from "./setup.ts";

/** Lifecycles before the measurement. */
const WARMUP = 30;
/** Work still in progress after the last answer counts, too. */
const SETTLE_MS = 500;
const BATCHES = [
  { atATime: 1, lives: 1, rounds: 60, warmup: WARMUP },
  { atATime: 8, lives: 24, rounds: 8, warmup: 1 },
  { atATime: 32, lives: 96, rounds: 5, warmup: 1 },
];

/** Measures and prints the tables. */
export async function life({ engines }: Setup): Promise<void> {
  console.log(head(engines.map((e) => e.name)));
  const rows: string[] = [];
  for (const { atATime, lives, rounds, warmup } of BATCHES) {
    const spent = engines.map(() => 0);
    const batch = async (e: Engine, i: number, round: number) => {
      if (round === warmup) {
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
        spent[i] = -e.daemon.cpu.usage();
      }
      const begin = performance.now();
      await many(lives, atATime, (n) => e.life(`life-${atATime}-${round}-${n}`));
      return (performance.now() - begin) / lives;
    };
    const contenders = engines.map((e, i) => ({ name: e.name, once: (round: number) => batch(e, i, round) }));
    const what =
      atATime === 1 ? "create, start, exit, delete, one at a time" : `the same, ${atATime} at a time`;
    const times = await compare(contenders, rounds, warmup);
    console.log(row(`${what}, per container`, "berthd", times));
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const cpu = engines.map((e, i) => (spent[i]! + e.daemon.cpu.usage()) / (rounds * lives));
    rows.push(
      `| CPU ms, ${atATime} at a time | ${cpu.map((ms) => ms.toFixed(1)).join(" | ")} | ${ratios(engines, cpu)} |`,
    );
    const rates = [...times.values()].map((t) => (typeof t === "string" ? Number.NaN : 1000 / t.median));
    rows.push(
      `| per second, ${atATime} at a time | ${rates.map((r) => r.toFixed(0)).join(" | ")} | ${ratios(engines, rates)} |`,
    );
  }
  for (const line of rows) console.log(line);
}

/** Memory cost of running containers besides their own: keepers and shims, and the daemon. */
import { readFileSync } from "node:fs";
import { kilobytes, processesWith } from "./accounting.ts";
import { type Engine, many } from "./client.ts";
import { large, type Setup } from "./setup.ts";

const COUNTS = [1, 10, 100, 1000];
/** A thousand of containerd's shims have 16 GB of RSS: they are not measured. */
const MOST_OF_OTHERS = 100;

/** Memory still available to processes, in kB. */
export function available(): number {
  return Number(/^MemAvailable: +(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))![1]);
}

async function cellOf(e: Engine, made: Map<Engine, number>, count: number): Promise<string> {
  const from = made.get(e) ?? 0;
  await many(count - from, 8, (n) => e.create(`mem-${from + n}`, { args: ["sleep", "100000"] }));
  made.set(e, count);
  const pids = processesWith(e.daemon.program.helper("mem-"));
  const pss = pids.reduce((sum, pid) => sum + kilobytes(pid, "smaps_rollup", "Pss"), 0);
  const rss = pids.reduce((sum, pid) => sum + kilobytes(pid, "status", "VmRSS"), 0);
  const daemon = kilobytes(e.daemon.pid, "status", "VmRSS") / 1024;
  return `${(pss / count).toFixed(0)} PSS, ${(rss / count).toFixed(0)} RSS; daemon ${daemon.toFixed(0)} MB`;
}

/** Measures and prints the table. */
export async function memory({ engines }: Setup): Promise<void> {
  const made = new Map<Engine, number>();
  console.log(`| kB per container, of shims and keepers | ${engines.map((e) => e.name).join(" | ")} |`);
  console.log(`|---${"|---".repeat(engines.length)}|`);
  for (const count of COUNTS.filter((n) => large || n <= 100)) {
    const cells: string[] = [];
    for (const e of engines) {
      const measured = e.name === "berthd" || count <= MOST_OF_OTHERS;
      cells.push(measured ? await cellOf(e, made, count) : "not measured");
    }
    console.log(`| at ${count} | ${cells.join(" | ")} |`);
  }
  for (const e of engines) await many(made.get(e) ?? 0, 8, (n) => e.kill(`mem-${n}`));
}

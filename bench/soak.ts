/**
 * `make soak COUNT=10000`: containers started and removed, eight in flight, by one berthd. Fails on an error, on anything that is
 * left (mounts, cgroups, keepers, snapshots, records, descriptors, threads) and on memory that grows.
 */
import { globSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { kilobytes, processesWith } from "./engine/accounting.ts";
import { type Engine, many } from "./engine/client.ts";
import { berthd } from "./engine/daemons.ts";
import { type Setup, withEngines } from "./engine/setup.ts";

const IN_FLIGHT = 8;
/** How often memory is looked at. */
const SAMPLE = 500;
/** Until here it may grow: caches fill, code is compiled. */
const FIRST = 1000;
/** By how much what comes after may be above what it is then. */
const TOLERANCE = 1.1;
/** What ends a moment after its container does. */
const SETTLE_MS = 3000;

/** What must not have grown. */
function left(e: Engine, folder: string): Record<string, number> {
  const proc = `/proc/${e.daemon.pid}`;
  const here = [folder, realpathSync(join(folder, "run"))];
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const files = (...paths: string[]) => globSync(paths.map((path) => join(folder, path, "**"))).length;
  return {
    mounts: mounts.filter((line) => here.some((path) => line.includes(path))).length,
    cgroups: globSync(`/sys/fs/cgroup/{*,.}/${e.parent}/*/`).length,
    keepers: processesWith("berth-init\0").filter(
      (pid) =>
        readFileSync(`/proc/${pid}/status`, "utf8").match(/^PPid:\t(\d+)/m)?.[1] === String(e.daemon.pid),
    ).length,
    snapshots: files("root/snapshots/overlayfs"),
    "state files": files("run/io.containerd.runtime.v2.task", "run/keepers", "run/runc"),
    logs: files("root/logs"),
    descriptors: readdirSync(`${proc}/fd`).length,
    threads: readdirSync(`${proc}/task`).length,
  };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

async function soak({ engines, folder }: Setup, count: number): Promise<boolean> {
  const e = engines[0]!;
  const rss = () => kilobytes(e.daemon.pid, "status", "VmRSS") / 1024;
  // So that every folder and thread that it makes once is there.
  await many(64, IN_FLIGHT, (n) => e.life(`warm-${n}`));
  await settle();
  const before = left(e, folder);
  const samples: number[] = [];
  const begin = performance.now();
  console.log("| containers | RSS of berthd, MB | per second |\n|---|---|---|");
  let last = begin;
  for (let done = 0; done < count; done += SAMPLE) {
    const now = Math.min(SAMPLE, count - done);
    await many(now, IN_FLIGHT, (n) => e.life(`soak-${done + n}`));
    const time = performance.now();
    samples.push(rss());
    console.log(`| ${done + now} | ${rss().toFixed(1)} | ${((1000 * now) / (time - last)).toFixed(0)} |`);
    last = time;
  }
  await settle();
  const after = left(e, folder);
  const grown = Object.entries(after).filter(([name, n]) => n > before[name]!);
  for (const [name, n] of grown) console.log(`leaked: ${name}: ${n}, before ${before[name]}`);
  const first = samples[Math.min(FIRST / SAMPLE, samples.length) - 1]!;
  const most = Math.max(...samples.slice(FIRST / SAMPLE - 1));
  const flat = most <= first * TOLERANCE;
  const cpu = e.daemon.cpu.usage() / (count + 64);
  const rate = (1000 * count) / (last - begin);
  console.log(
    `${count} containers, ${rate.toFixed(0)} per second, ${cpu.toFixed(1)} ms CPU each beside the container; ` +
      `RSS ${first.toFixed(1)} MB after ${FIRST}, ${most.toFixed(1)} MB at most since, ${samples.at(-1)!.toFixed(1)} MB at the end: ` +
      `${flat ? "flat" : "it grows"}; ${grown.length === 0 ? "nothing leaked" : "it leaks"}`,
  );
  return flat && grown.length === 0;
}

const count = Number(process.argv[2] ?? 10_000);
let good = false;
await withEngines(
  async (setup) => {
    good = await soak(setup, count);
  },
  (folder) => [berthd(folder)],
);
process.exitCode = good ? 0 : 1;

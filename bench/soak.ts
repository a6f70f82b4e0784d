/**
 * `make soak COUNT=10000`: starts and removes containers, eight in flight, with one berthd. Fails on an error, on any
 * leak (mounts, cgroups, keepers, snapshots, records, descriptors, threads) and on growing memory.
 */
import { globSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { kilobytes, processesWith } from "./engine/accounting.ts";
import { type Engine, many } from "./engine/client.ts";
import { berthd } from "./engine/daemons.ts";
import { type Setup, withEngines } from "./engine/setup.ts";

const IN_FLIGHT = 8;
/** Containers between two memory samples. */
const SAMPLE = 500;
/** Growth is allowed up to here: caches fill, code is compiled. */
const FIRST = 1000;
/** Factor by which later samples may exceed the value then. */
const TOLERANCE = 1.1;
/** Time for work that ends a moment after its container. */
const SETTLE_MS = 3000;

/** Quantities that must not grow. */
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
  // Creates all folders and threads that are created only once.
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

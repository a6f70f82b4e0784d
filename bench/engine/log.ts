/** A gigabyte of lines of 100 bytes through a container's stdout into its log. */
import { spawnSync } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { compareAll, figures, head, type Results, ratios } from "../measure.ts";
import type { Engine } from "./client.ts";
import type { Setup } from "./setup.ts";

const MEGABYTES = 1000;
const ROUNDS = 3;
/** Lines per write: a program that flushes each line, and one that fills a buffer. */
const WAYS = [
  { what: "one line per write", lines: 1 },
  { what: "64 kB per write", lines: 655 },
];

/** The process alone, with a shell command on its arguments, for its own limit. In MB/s. */
function alone(writer: string, lines: number, command: string, log: string): string {
  const rates = Array.from({ length: ROUNDS }, () => {
    const begin = performance.now();
    const { status } = spawnSync("/bin/sh", ["-c", command, writer, String(MEGABYTES), String(lines), log]);
    const ms = performance.now() - begin;
    rmSync(log, { force: true });
    if (status !== 0) throw new Error(`the writer ended with ${status}`);
    return (1000 * MEGABYTES) / ms;
  });
  return figures(rates).median.toFixed(0);
}

/** The same through a log written by the engine; milliseconds, and CPU milliseconds of the processes in between. */
async function through(e: Engine, id: string, writer: string, lines: number, log: string): Promise<number[]> {
  const mounts = [{ destination: "/writer", source: writer, type: "bind", options: ["bind", "ro"] }];
  // A rotated log would not show when everything has arrived.
  const stdout = e.name === "berthd" ? `cri-log://${log}?max-size=-1` : `file://${log}`;
  const before = e.daemon.cpu.usage();
  const begin = performance.now();
  await e.create(id, { args: ["/writer", String(MEGABYTES), String(lines)], stdout, mounts });
  const code = await e.wait(id);
  const ms = performance.now() - begin;
  await e.remove(id);
  const cpu = e.daemon.cpu.usage() - before;
  const { size } = statSync(log);
  rmSync(log);
  // A log has time stamps besides.
  if (code !== 0 || size < MEGABYTES * 1e6) throw new Error(`exit code ${code}, a log of ${size} bytes`);
  return [ms, cpu];
}

function print(what: string, results: Results, text: (ms: number) => number, digits: number): void {
  const values = [...results.values()].map((r) => (typeof r === "string" ? Number.NaN : text(r.median)));
  const names = [...results.keys()].map((name) => ({ name }));
  for (const [name, result] of results) if (typeof result === "string") console.error(`${name}: ${result}`);
  console.log(`| ${what} | ${values.map((v) => v.toFixed(digits)).join(" | ")} | ${ratios(names, values)} |`);
}

/** Measures and prints the table. */
export async function log({ engines, scratch }: Setup): Promise<void> {
  const writer = join(scratch, "writer");
  const source = join(import.meta.dirname, "writer.c");
  const made = spawnSync("musl-gcc", ["-O2", "-static", "-o", writer, source], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  const limits: string[] = [];
  console.log(
    head(engines.map((e) => e.name)).replace("ms, median (min)", "a gigabyte into a log on a tmpfs"),
  );
  for (const { what, lines } of WAYS) {
    const path = join(scratch, "log");
    const contenders = engines.map((e) => ({
      name: e.name,
      once: (n: number) => through(e, `log-${lines}-${n}`, writer, lines, path),
    }));
    const [times, cpu] = await compareAll(contenders, 2, ROUNDS, 1);
    print(`MB/s, ${what}`, times!, (ms) => (1000 * MEGABYTES) / ms, 0);
    print(`CPU s of keeper or shim, ${what}`, cpu!, (ms) => ms / 1000, 2);
    const file = alone(writer, lines, '"$0" "$1" "$2" > "$3"', path);
    const pipe = alone(writer, lines, '"$0" "$1" "$2" | cat > /dev/null', path);
    limits.push(`${what}: ${file} MB/s into the file itself, ${pipe} MB/s into a pipe that \`cat\` reads`);
  }
  console.log(`\nThe writer's own limit, ${limits.join("; ")}.`);
}

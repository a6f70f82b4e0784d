/**
 * Clients with random commands on one daemon that is killed every few seconds, on a disk that fills and empties. The
 * commands' results are checked against the actual state, continually and at the end, when everything is removed and
 * nothing may be left. `make chaos MINUTES=15 SEED=1`; a seed repeats the commands, not the machine's timing.
 */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lane } from "../crash/lane.ts";
import { sleep, until } from "../support/until.ts";
import { ChaosClient, type SharedState } from "./clients.ts";
import { Random } from "./random.ts";

/** Options of a run. */
export interface ChaosOptions {
  seed: number;
  milliseconds: number;
  clients?: number;
  /** Folder of the binaries; default: this checkout's. */
  bin?: string;
}

/** Result of a run. */
export interface Outcome {
  /** Violations found. */
  findings: string[];
  kills: number;
  fills: number;
  commands: number;
  succeeded: number;
  refused: number;
  /** Commands interrupted by a kill or a full disk. */
  interrupted: number;
}

/** Space for the images, and for a run without faults. */
const DISK = "96m";
/**
 * By then an auto-removed container is gone: its client had ten seconds to fetch the exit code, or a minute to start
 * it.
 */
const AUTO_REMOVE_MS = 75_000;

/** Runs clients and faults, then checks the result. */
export async function chaos({ seed, milliseconds, clients = 5, bin }: ChaosOptions): Promise<Outcome> {
  const lane = new Lane(`chaos-${process.pid}`, bin);
  const findings: string[] = [];
  const shared: SharedState = {
    lane,
    findings,
    counts: { commands: 0, succeeded: 0, interrupted: 0, refused: 0 },
    over: false,
  };
  try {
    execFileSync("mount", [
      "-t",
      "tmpfs",
      "-o",
      `size=${DISK},mode=711`,
      "berth-test",
      join(lane.folder, "root"),
    ]);
    await lane.up();
    await lane.load();
    await lane.must("run", "--rm", lane.image, "true");
    const rest = lane.traces();
    const all = Array.from(
      { length: clients },
      (_, n) => new ChaosClient(shared, n, new Random(seed * 1000 + n)),
    );
    const faults = new Faults(lane, new Random(seed));
    const timer = setTimeout(() => {
      shared.over = true;
      faults.over = true;
    }, milliseconds);
    await Promise.all([...all.map((client) => client.run()), faults.kill(), faults.fill()]);
    clearTimeout(timer);
    await examine(lane, all, findings);
    await clear(lane, all, findings, rest);
    if (findings.length > 0 && lane.log !== "") findings.push(`the daemons' log:\n${lane.log.slice(-4000)}`);
    return { findings, kills: faults.kills, fills: faults.fills, ...shared.counts };
  } finally {
    await lane.close();
  }
}

/** Faults injected meanwhile. */
class Faults {
  over = false;
  kills = 0;
  fills = 0;
  readonly #lane: Lane;
  readonly #random: Random;

  constructor(lane: Lane, random: Random) {
    this.#lane = lane;
    this.#random = random;
  }

  async kill(): Promise<void> {
    while (!this.over) {
      await sleep(this.#random.between(500, 5000));
      if (this.over) return;
      await this.#lane.down(this.#random.chance(0.9) ? "SIGKILL" : "SIGTERM");
      this.kills++;
      await sleep(this.#random.between(0, 300));
      await this.#lane.up();
    }
  }

  async fill(): Promise<void> {
    const folder = join(this.#lane.folder, "root");
    const path = join(folder, "filler");
    while (!this.over) {
      await sleep(this.#random.between(4000, 12_000));
      if (this.over) return;
      this.fills++;
      const until = performance.now() + this.#random.between(200, 2000);
      writeFileSync(path, "");
      for (; performance.now() < until; await sleep(2)) takeAll(folder, path);
      rmSync(path);
    }
  }
}

function takeAll(folder: string, path: string): void {
  const { bavail, bsize } = statfsSync(folder);
  for (let size = bavail * bsize; size >= bsize; size = Math.floor(size / 2 / bsize) * bsize)
    try {
      writeFileSync(path, Buffer.alloc(size), { flag: "a" });
    } catch {
      // Half as much may fit.
    }
}

interface Listed {
  Names: string;
  State: string;
  Labels: string;
}

async function list(lane: Lane): Promise<Listed[]> {
  const lines = await lane.must("ps", "-a", "--format", "json");
  return lines
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Listed);
}

/** Compares the actual state with what the clients expect. */
async function examine(lane: Lane, clients: readonly ChaosClient[], findings: string[]): Promise<void> {
  const fleeting = async () => (await list(lane)).filter(({ Labels }) => Labels.includes("chaos=fleeting"));
  await until(
    "containers that remove themselves are gone",
    async () => (await fleeting()).length === 0 || undefined,
    { timeoutMs: AUTO_REMOVE_MS },
  ).catch(async () => findings.push(`still there: ${JSON.stringify(await fleeting())}`));
  const listed = new Map((await list(lane)).map((each) => [each.Names, each]));
  for (const client of clients) {
    for (const [name, state] of client.expected) {
      const found = listed.get(name)?.State ?? "absent";
      const expected = state === "unstarted" ? "created" : state;
      if (expected !== "unknown" && found !== expected)
        findings.push(`in the end ${name} is ${found}, expected ${expected}`);
    }
    const { name, there } = client.image;
    const found = (await lane.berth("inspect", name)).code === 0;
    if (there !== undefined && found !== there)
      findings.push(`in the end image ${name} is ${found ? "there" : "gone"}, expected the other`);
  }
  for (const { Names, State } of listed.values()) {
    const { State: now } = await lane.inspect(Names);
    const alive = now.Pid !== 0 && existsSync(`/proc/${now.Pid}`);
    // A created container may have a process, which waits for its start.
    if (State !== "created" && alive !== (State === "running" || State === "paused"))
      findings.push(`in the end ${Names} is ${State}, and its process ${alive ? "runs" : "does not run"}`);
  }
  // The daemon does not know about killed clients; the doctor does.
  const fixed = await lane.fix();
  findings.push(...fixed.filter((line) => !line.startsWith("doctor: client's streams ")));
  findings.push(...(await lane.leaks()));
}

/** Removes everything and checks for leftovers. */
async function clear(
  lane: Lane,
  clients: readonly ChaosClient[],
  findings: string[],
  before: readonly string[],
): Promise<void> {
  const names = (await list(lane)).map(({ Names }) => Names);
  if (names.length > 0) await lane.must("rm", "-f", ...names);
  for (const { image } of clients) await lane.berth("rmi", image.name);
  // The snapshot of a client that was killed is held for a minute.
  const left = await lane.settle(before, 75_000);
  findings.push(...left.map((line) => `in the end ${line}`));
}

if (import.meta.main) {
  const [minutes = "15", seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
  const { realSys } = await import("@berth/sys");
  realSys.becomeSubreaper();
  console.log(`chaos for ${minutes} minutes, seed ${seed}`);
  const outcome = await chaos({ seed: Number(seed), milliseconds: Number(minutes) * 60_000 });
  const { findings, ...counts } = outcome;
  console.log(JSON.stringify(counts));
  for (const finding of findings) console.log(finding);
  console.log(findings.length === 0 ? "nothing was lost, nothing was left" : `${findings.length} findings`);
  process.exitCode = findings.length === 0 ? 0 : 1;
}

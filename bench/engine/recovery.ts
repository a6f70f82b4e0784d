/** The daemon is killed with containers running: time until a new one lists them all, and can work with them. */
import { answers } from "../../test/support/daemons.ts";
import { compareAll, head, row } from "../measure.ts";
import { Engine, many } from "./client.ts";
import { available } from "./memory.ts";
import { large, type Setup } from "./setup.ts";

const ROUNDS = 7;
/** Expected size of one of containerd's shims, in kB, plus what the machine should keep free. */
const SHIM_KB = 16 * 1024;
const SPARE_KB = 2 << 20;
const STEPS = ["first answer", "all listed as running", "exec works"];

/** Kills and starts the daemon; returns the milliseconds from its start to each of {@link STEPS}. */
async function restart(engine: Engine, count: number, round: number): Promise<number[]> {
  const { daemon } = engine;
  await daemon.kill();
  const begin = performance.now();
  let after: Engine | undefined;
  const times: number[] = [];
  await daemon.start(async () => {
    if (!(await answers(daemon.program.socket)())) return false;
    after ??= new Engine(daemon);
    await after.version();
    return true;
  });
  try {
    times.push(performance.now() - begin);
    while ((await after!.running()) < count) await new Promise((resolve) => setTimeout(resolve, 1));
    times.push(performance.now() - begin);
    if (count > 0) await after!.exec("kept-0", `after-${round}`);
    times.push(performance.now() - begin);
  } finally {
    after!.close();
  }
  return times;
}

async function withContainers(engines: readonly Engine[], count: number): Promise<void> {
  const contenders = [];
  for (const e of engines) {
    const enough = e.name === "berthd" || count < 100 || available() > count * SHIM_KB + SPARE_KB;
    if (!enough) {
      console.log(`| ${count} running: ${e.name} left out, for want of memory |`);
      continue;
    }
    // The old connection may be gone with its daemon.
    const fresh = new Engine(e.daemon);
    await fresh.prepare();
    await many(count, 8, (n) => fresh.create(`kept-${n}`, { args: ["sleep", "100000"] }));
    fresh.close();
    contenders.push({ name: e.name, once: (round: number) => restart(e, count, round) });
  }
  const results = await compareAll(contenders, STEPS.length, ROUNDS, 1);
  for (const [i, step] of STEPS.slice(0, count > 0 ? 3 : 1).entries())
    console.log(row(`${count} running: ${step}`, "berthd", results[i]!));
  for (const e of engines) {
    if (!contenders.some((c) => c.name === e.name)) continue;
    const again = new Engine(e.daemon);
    await many(count, 8, (n) => again.kill(`kept-${n}`));
    again.close();
  }
}

/** Measures and prints the table. */
export async function recovery({ engines }: Setup): Promise<void> {
  console.log(head(engines.map((e) => e.name)));
  for (const count of large ? [0, 20, 500] : [0, 20]) await withContainers(engines, count);
}

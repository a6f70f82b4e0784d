/** Starts the daemons side by side for as long as a measurement takes. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../test/support/checkout.ts";
import { Folder } from "../../test/support/daemons.ts";
import { removeParents } from "./accounting.ts";
import { Engine } from "./client.ts";
import { berthd, containerd, Daemon, type Program } from "./daemons.ts";

/** The daemons at work, and a folder for whatever a measurement needs. */
export interface Setup {
  engines: readonly Engine[];
  /** What the daemons work in; berthd in `root` and `run`. */
  folder: string;
  /** On a tmpfs. */
  scratch: string;
}

/** Folder of a later containerd's programs, with its shim and a runc; see docs/performance.md. */
const later = process.env.BERTH_BENCH_CONTAINERD;

/** Is what takes much memory wanted too? */
export const large = process.env.BERTH_BENCH_LARGE === "1";

function programs(folder: string): Program[] {
  const all = [berthd(folder), containerd(folder, "debian", "/usr/bin")];
  if (later) all.push(containerd(folder, "later", later));
  return all;
}

/** Lets the daemons work on empty directories, and removes all of it afterwards. */
export async function withEngines(
  measure: (setup: Setup) => Promise<void>,
  choose: (folder: string) => Program[] = programs,
): Promise<void> {
  const folder = new Folder();
  // All keep their state on a tmpfs, as /run is on most machines, and all else on disk.
  const scratch = mkdtempSync("/dev/shm/berth-bench-");
  for (const name of ["run", "debian-state", "later-state"]) {
    mkdirSync(join(scratch, name));
    symlinkSync(join(scratch, name), join(folder.path, name));
  }
  const daemons: Daemon[] = [];
  const engines: Engine[] = [];
  try {
    const archive = join(folder.path, "image.tar");
    const made = spawnSync(join(ROOT, "scripts/demo-image.sh"), [archive], { encoding: "utf8" });
    if (made.status !== 0) throw new Error(made.stderr);
    for (const program of choose(folder.path)) {
      const daemon = new Daemon(program);
      daemons.push(daemon);
      await daemon.start();
      const engine = new Engine(daemon);
      engines.push(engine);
      await engine.prepare(archive);
    }
    await measure({ engines, folder: folder.path, scratch });
  } finally {
    for (const engine of engines) {
      // What a measurement that failed has left.
      if (await engine.clear()) console.error(`${engine.name}: containers were left`);
      engine.close();
    }
    for (const daemon of daemons) await daemon.stop();
    for (const engine of engines) removeParents(engine.parent);
    await folder.remove();
    rmSync(scratch, { recursive: true, force: true });
  }
}

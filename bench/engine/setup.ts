/** Starts the daemons side by side for the duration of a measurement. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../test/support/checkout.ts";
import { Folder } from "../../test/support/daemons.ts";
import { removeParents } from "./accounting.ts";
import { Engine } from "./client.ts";
import { berthd, containerd, Daemon, type Program } from "./daemons.ts";

/** The running daemons, and a folder for the measurement. */
export interface Setup {
  engines: readonly Engine[];
  /** The daemons' working folder; berthd in `root` and `run`. */
  folder: string;
  /** On a tmpfs. */
  scratch: string;
}

/** Folder of a later containerd's binaries, with its shim and a runc; see docs/performance.md. */
const later = process.env.BERTH_BENCH_CONTAINERD;

/** Whether to include measurements that need much memory. */
export const large = process.env.BERTH_BENCH_LARGE === "1";

function programs(folder: string): Program[] {
  const all = [berthd(folder), containerd(folder, "debian", "/usr/bin")];
  if (later) all.push(containerd(folder, "later", later));
  return all;
}

/** Runs the daemons on empty directories, and removes everything afterwards. */
export async function withEngines(
  measure: (setup: Setup) => Promise<void>,
  choose: (folder: string) => Program[] = programs,
): Promise<void> {
  const folder = new Folder();
  // All keep their state on a tmpfs, as /run is on most machines, and everything else on disk.
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
      // Leftovers of a failed measurement.
      if (await engine.clear()) console.error(`${engine.name}: containers were left`);
      engine.close();
    }
    for (const daemon of daemons) await daemon.stop();
    for (const engine of engines) removeParents(engine.parent);
    await folder.remove();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The Task services behind a daemon: berth's own keepers, and beside them the shims of other runtimes. */
import type { ForeignOptions, ForeignSandboxes, SandboxExit, TaskShim } from "@berth/shim";
import type { Config } from "./config/config.ts";

/** The in-process shim, and other people's beside it. */
export async function makeShims(config: Config): Promise<TaskShim> {
  const { createTaskShim, ForeignShims, routeTasks } = await import("@berth/shim");
  const starts = config["limits.starts"];
  const options = await foreignOptions(config);
  const startWorkers = starts > 0 ? { startWorkers: starts } : {};
  const own = createTaskShim({ sys: options.sys, stateDir: config.state, ...startWorkers });
  return routeTasks(own, new ForeignShims(options));
}

/** Sandboxes, which are always of shims that are programs. */
export async function makeSandboxes(
  config: Config,
  onExit: (exit: SandboxExit) => void,
): Promise<ForeignSandboxes> {
  const { ForeignSandboxes } = await import("@berth/shim");
  return new ForeignSandboxes(await foreignOptions(config), onExit);
}

async function foreignOptions(config: Config): Promise<ForeignOptions> {
  const { realSys: sys } = await import("@berth/sys");
  // packaging/berthd.sh names itself.
  const publishBinary = process.env.BERTHD || sys.programPath();
  return {
    sys,
    stateDir: config.state,
    address: config["grpc.address"],
    ttrpcAddress: config["ttrpc.address"],
    publishBinary,
  };
}

/** The Task services behind a daemon: berth's own keepers, and beside them the shims of other runtimes. */
import type { TaskShim } from "@berth/shim";
import type { Config } from "./config/config.ts";

/** The in-process shim, and other people's beside it. */
export async function makeShims({ state, limits, grpc, ttrpc }: Config): Promise<TaskShim> {
  const [{ createTaskShim, ForeignShims, routeTasks }, { realSys: sys }] = await Promise.all([
    import("@berth/shim"),
    import("@berth/sys"),
  ]);
  const startWorkers = limits.starts > 0 ? { startWorkers: limits.starts } : {};
  const own = createTaskShim({ sys, stateDir: state, ...startWorkers });
  const addresses = { address: grpc.address, ttrpcAddress: ttrpc.address };
  // packaging/berthd.sh names itself.
  const publishBinary = process.env.BERTHD || sys.programPath();
  return routeTasks(own, new ForeignShims({ sys, stateDir: state, ...addresses, publishBinary }));
}

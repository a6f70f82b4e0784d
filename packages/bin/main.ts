/**
 * One executable, several names: what it does is decided by the name it was called by. Each program is loaded only
 * when it is the one, so that a short command stays short.
 */
import { readFileSync } from "node:fs";

/** The name this was called by. A compiled program's process.argv[0] is its engine's, so the kernel is asked. */
function calledAs(): string {
  const first = readFileSync("/proc/self/cmdline", "latin1").split("\0", 1)[0] ?? "";
  return first.slice(first.lastIndexOf("/") + 1);
}

async function run(name: string, args: string[]): Promise<number> {
  if (name === "berth-runc") {
    const [{ main }, { exitNow }] = await Promise.all([import("@berth/runtime/main"), import("@berth/sys")]);
    return exitNow(await main(args));
  }
  if (name === "containerd-shim-berth-v1") {
    const { writeSync } = await import("node:fs");
    writeSync(
      2,
      "containerd-shim-berth-v1: serving a containerd over ttrpc is not supported yet; use berthd in its place\n",
    );
    return 1;
  }
  const { main } = await import("@berth/cli");
  const explaining = () => Promise.all([import("@berth/runtime/explain"), import("@berth/sys")]);
  return main(args, {
    explain: async (bundle) => {
      const [{ explainBundle }, { realSys }] = await explaining();
      return explainBundle(realSys, bundle);
    },
    explainDifference: async (first, second) => {
      const [{ explainDifference }, { realSys }] = await explaining();
      return explainDifference(realSys, first, second);
    },
  });
}

process.exitCode = await run(calledAs(), process.argv.slice(2));

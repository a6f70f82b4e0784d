/**
 * One executable with several names: the name it is invoked by selects the program. Only that program is loaded, so
 * that short commands stay short.
 */
import { exitNow, realSys } from "@berth/sys";

/**
 * The name this was invoked by. A compiled program's process.argv[0] is its engine's, so it is read from the kernel.
 */
function calledAs(): string {
  const first = realSys.readText("/proc/self/cmdline").split("\0", 1)[0] ?? "";
  return first.slice(first.lastIndexOf("/") + 1);
}

async function run(name: string, args: string[]): Promise<number> {
  if (name === "berth-runc") {
    const { main } = await import("@berth/runc");
    return exitNow(await main(args));
  }
  if (name === "containerd-shim-berth-v1") {
    const { main } = await import("@berth/shim/program");
    const code = await main(args);
    // Without a code it keeps serving, until it exits by itself.
    return code === undefined ? 0 : exitNow(code);
  }
  const { main } = await import("@berth/cli");
  return main(args, {
    explain: async (bundle) => {
      const { explainBundle } = await import("@berth/runtime/explain");
      return explainBundle(realSys, bundle);
    },
    berthd: async (given) => {
      const { execFile } = process.getBuiltinModule("node:child_process");
      const path = `${realSys.libraryFolder()}/../../bin/berthd`;
      return new Promise((resolve) =>
        execFile(path, [...given], { maxBuffer: 64 << 20 }, (error, out, err) => {
          const failed = error !== null && typeof error.code === "number" ? error.code : 1;
          resolve({ out, err: err || (error?.message ?? ""), code: error === null ? 0 : failed });
        }),
      );
    },
    explainDifference: async (first, second) => {
      const { explainDifference } = await import("@berth/runtime/explain");
      return explainDifference(realSys, first, second);
    },
  });
}

process.exitCode = await run(calledAs(), process.argv.slice(2));

/**
 * `containerd-shim-berth-v1`: berth as a containerd runtime, by its shim contract, version 2. `start` and `delete` are
 * short-lived; the containers of one containerd and namespace share a serving process.
 */
import { BerthError, COMMIT, VERSION } from "@berth/base";
import { commandSys, realSys, type Sys } from "@berth/sys";
import { parseCall, type ShimCall, USAGE } from "./flags.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function act(sys: Sys, call: ShimCall): Promise<Uint8Array> {
  if (call.help || call.h) return bytes(`${USAGE}\n`);
  if (call.version || call.v)
    return bytes(`containerd-shim-berth-v1:\n  Version:  ${VERSION}\n  Revision: ${COMMIT}\n\n`);
  if (call.info) return (await import("./info.ts")).info(sys);
  switch (call.action) {
    case "start":
      return (await import("./start.ts")).start(sys, call);
    case "delete":
      return (await import("./delete.ts")).deleteContainer(sys, call);
    default:
      throw new BerthError(
        "invalid_argument",
        call.action === ""
          ? "found no action, expected start or delete"
          : `action ${JSON.stringify(call.action)}: expected start or delete`,
        { hint: "containerd calls this program: `ctr run --runtime io.containerd.berth.v1`" },
      );
  }
}

/** Runs the program; resolves with its exit code, or with undefined for the serving process, which goes on. */
export async function main(args: readonly string[], sys: Sys = commandSys): Promise<number | undefined> {
  try {
    const call = parseCall(args);
    if (call.action === "serve") {
      await (await import("./serve.ts")).serve(realSys, call);
      return undefined;
    }
    sys.write(1, await act(sys, call));
    return 0;
  } catch (thrown) {
    const { message, hint } = BerthError.from(thrown);
    sys.write(2, bytes(`containerd-shim-berth-v1: ${message}${hint === undefined ? "" : `; ${hint}`}\n`));
    return 1;
  }
}

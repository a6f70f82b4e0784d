/** closeIO: the keeper lets go of a process's standard input, which then ends with its client's. */
import { isCode } from "@berth/base";
import type { ShimContext } from "./context.ts";
import type { ProcessRef } from "./task-shim.ts";

/** See {@link TaskShim.closeIO}. */
export async function closeIO(shim: ShimContext, ref: ProcessRef): Promise<void> {
  const { process } = shim.process(ref);
  // A client that has little to say is done before the start is: `follow` passes it on.
  process.stdinClosed = true;
  try {
    await process.link?.command("CLOSE_STDIN");
  } catch (error) {
    // What has ended holds nothing.
    if (!isCode(error, "not_found")) throw error;
  }
}

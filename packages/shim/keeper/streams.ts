/** closeIO and resizePty: what a keeper does with the streams of a process that runs. */
import { BerthError, isCode } from "@berth/base";
import type { ProcessRef } from "../contract/task-shim.ts";
import type { ShimContext } from "./context.ts";
import type { KeeperProcess } from "./keeper-process.ts";

/** See {@link TaskShim.closeIO}. */
export async function closeIO(shim: ShimContext, ref: ProcessRef): Promise<void> {
  const { process } = shim.process(ref);
  // A client that has little to say is done before the start is: `follow` passes it on.
  process.stdinClosed = true;
  await tell(process, "CLOSE_STDIN");
}

/** See {@link TaskShim.resizePty}. */
export async function resizePty(
  shim: ShimContext,
  ref: ProcessRef,
  width: number,
  height: number,
): Promise<void> {
  const { process } = shim.process(ref);
  if (!process.record.stdio.terminal)
    throw new BerthError("failed_precondition", "the process has no terminal", { stage: "resize" });
  await tell(process, `RESIZE ${width & 0xffff} ${height & 0xffff}`);
}

/** A client cannot know whether the process has just ended; then there is nothing left to be done. */
async function tell(process: KeeperProcess, line: string): Promise<void> {
  try {
    await process.link?.command(line);
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
}

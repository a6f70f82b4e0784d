/** closeIO and resizePty: commands to a keeper. */
import { BerthError, isCode } from "@berth/base";
import type { ProcessRef } from "../contract/task-shim.ts";
import type { ShimContext } from "./context.ts";
import type { KeeperProcess } from "./keeper-process.ts";

/** See {@link TaskShim.closeIO}. */
export async function closeIO(shim: ShimContext, ref: ProcessRef): Promise<void> {
  const { process } = shim.process(ref);
  // The client may be done before the process is started; then `follow` sends it.
  process.stdinClosed = true;
  await send(process, "CLOSE_STDIN");
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
  await send(process, `RESIZE ${width & 0xffff} ${height & 0xffff}`);
}

/** Sends a command. No error if the process has just ended, which a client cannot know. */
async function send(process: KeeperProcess, line: string): Promise<void> {
  try {
    await process.link?.command(line);
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
}

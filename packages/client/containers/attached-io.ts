/** The streams of a container that is watched. */
import { criLogUri } from "@berth/base";
import type { Fifos } from "../stdio.ts";
import type { TaskIO } from "../tasks.ts";

/** Streams of a container that its client watches: its output goes to the log and, as it is, to FIFOs. */
export function attachedIO(logPath: string, terminal: boolean, fifos: Fifos): TaskIO {
  const to = (fifo: string) => `${criLogUri(logPath)}?attach=${encodeURIComponent(fifo)}`;
  return {
    stdin: fifos.stdin,
    stdout: to(fifos.stdout),
    stderr: terminal ? "" : to(fifos.stderr),
    terminal,
  };
}

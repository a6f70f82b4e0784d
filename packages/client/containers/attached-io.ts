/** Streams of an attached container. */
import { criLogUri } from "@berth/base";
import type { Fifos } from "../stdio.ts";
import type { TaskIO } from "../tasks.ts";

/** Streams of a container that a client is attached to: output goes to the log and, unformatted, to FIFOs. */
export function attachedIO(logPath: string, terminal: boolean, fifos: Fifos): TaskIO {
  const to = (fifo: string) => `${criLogUri(logPath)}?attach=${encodeURIComponent(fifo)}`;
  return {
    stdin: fifos.stdin,
    stdout: to(fifos.stdout),
    stderr: terminal ? "" : to(fifos.stderr),
    terminal,
  };
}

/** A container's streams as the daemon takes them. */
import { criLogUri } from "@berth/base";
import type { Fifos, TaskIO } from "@berth/client";

/** Streams of a container that a terminal watches: its output goes to the log and, as it is, to FIFOs. */
export function attachedIO(logPath: string, terminal: boolean, fifos: Fifos): TaskIO {
  const to = (fifo: string) => `${criLogUri(logPath)}?attach=${encodeURIComponent(fifo)}`;
  return {
    stdin: fifos.stdin,
    stdout: to(fifos.stdout),
    stderr: terminal ? "" : to(fifos.stderr),
    terminal,
  };
}

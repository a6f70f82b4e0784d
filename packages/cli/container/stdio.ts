/** A container's streams as the daemon takes them. */
import type { Fifos, TaskIO } from "@berth/client";

/** Streams of a container that a terminal watches: its output goes to the log and, as it is, to FIFOs. */
export function attachedIO(logPath: string, terminal: boolean, fifos: Fifos): TaskIO {
  const to = (fifo: string) => `cri-log://${encodePath(logPath)}?attach=${encodeURIComponent(fifo)}`;
  return {
    stdin: fifos.stdin,
    stdout: to(fifos.stdout),
    stderr: terminal ? "" : to(fifos.stderr),
    terminal,
  };
}

const encodePath = (path: string): string => path.split("/").map(encodeURIComponent).join("/");

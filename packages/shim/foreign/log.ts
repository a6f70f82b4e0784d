/** Logs of shims. */
import { log } from "@berth/base";
import { linux, type Sys } from "@berth/sys";

const MAX_LINE = 4096;

/** Copies the lines of a bundle's log FIFO into the daemon's log; returns how to stop. */
export function followLog(sys: Sys, bundle: string, id: string): () => void {
  // Read-write: the FIFO then never reports end of file, whenever a shim opens and closes it.
  const fd = sys.open(`${bundle}/log`, linux.O_RDWR | linux.O_NONBLOCK);
  const onLine = (line: string) => {
    if (line !== "") log.debug("shim", { id, line });
  };
  const channel = sys.readLines(fd, { onLine }, MAX_LINE);
  return () => channel.close();
}

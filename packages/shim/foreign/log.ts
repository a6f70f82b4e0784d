/** What a shim says of itself, in the daemon's log. */
import { Socket } from "node:net";
import { log } from "@berth/base";
import { linux, type Sys } from "@berth/sys";

const MAX_LINE = 4096;

/** Copies the lines of a bundle's log FIFO into the daemon's log until it is closed. */
export function followLog(sys: Sys, bundle: string, id: string): () => void {
  // Open for both ends: the shim's coming and going is no end of file.
  const fd = sys.open(`${bundle}/log`, linux.O_RDWR | linux.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.unref();
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE);
    for (const line of lines) if (line !== "") log.debug("shim", { id, line: line.slice(0, MAX_LINE) });
  });
  socket.on("error", () => socket.destroy());
  return () => socket.destroy();
}

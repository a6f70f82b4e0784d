/** Relays a restored container's terminal to the caller's. */
import type { Sys } from "@berth/sys";

const CHUNK = 8192;

/** Copies between the caller's terminal (descriptors 0 and 1) and a master until the container's side is closed. */
export function relayTerminal(
  sys: Sys,
  master: number,
): { done: Promise<void>; resize(): void; close(): void } {
  const modes = sys.makeRaw(0);
  const resize = () => sys.copyTerminalSize(0, master);
  process.on("SIGWINCH", resize);
  const copy = async (from: number, to: number) => {
    // A master reports EIO once the other side is closed everywhere.
    for (;;) {
      const bytes = await sys.read(from, CHUNK).catch(() => undefined);
      if (bytes === undefined || bytes.length === 0) return;
      sys.write(to, bytes);
    }
  };
  const done = copy(master, 1);
  // Input is copied until this process exits; nothing waits for it.
  copy(0, master).catch(() => {});
  const close = () => {
    process.off("SIGWINCH", resize);
    if (modes !== undefined) sys.restoreTerminal(0, modes);
  };
  return { done, resize, close };
}

/** Connecting to a unix socket, with errors that say what to do. */
import net from "node:net";
import { BerthError, present } from "@berth/base";
import { shownName } from "./address.ts";

/** Pause between attempts, in milliseconds. */
const RETRY_MS = 10;

/** Hints for the errors of a socket that may not be used, or that has no listener. */
export interface DialHints {
  denied?: string;
  absent?: string;
}

/**
 * Connects to a socket's name (see `socketName`), retrying for up to `ms` milliseconds while the socket is missing or
 * has no listener. Throws "permission_denied" or "unavailable".
 */
export async function dial(name: string, ms: number, hints: DialHints = {}): Promise<net.Socket> {
  const until = performance.now() + ms;
  for (;;) {
    try {
      return await open(name, hints);
    } catch (error) {
      const { errno } = error as BerthError;
      if (performance.now() >= until || (errno !== "ENOENT" && errno !== "ECONNREFUSED")) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function open(name: string, hints: DialHints): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(name);
    const failed = (cause: Error) => {
      const { errno } = BerthError.from(cause);
      const path = shownName(name);
      const denied = errno === "EACCES" || errno === "EPERM";
      const hint = denied ? hints.denied : hints.absent;
      reject(
        new BerthError(
          denied ? "permission_denied" : "unavailable",
          denied ? `permission denied on ${path}` : `cannot connect to ${path}: ${cause.message}`,
          { stage: "connect", syscall: "connect", path, cause, ...present({ errno, hint }) },
        ),
      );
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

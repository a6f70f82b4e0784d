/** A server's unix socket: taken, given to its owner, and put back when somebody removes it. */
import { chmodSync, chownSync, statSync, unlinkSync } from "node:fs";
import net from "node:net";
import { BerthError, log } from "@berth/base";
import { MAX_SOCKET_PATH } from "./address.ts";

/** Where to listen. */
export interface SocketOptions {
  /** Path of the unix socket. */
  path: string;
  /** Owner of the socket; default: the owner of this process. */
  uid?: number;
  gid?: number;
  /** Permissions of the socket. Default: 0660. */
  mode?: number;
}

const DEFAULT_MODE = 0o660;
/** How often it is looked whether the socket is still there. */
const CHECK_MS = 1000;

/** {@link remake}s the socket from now on; returns how to stop. */
export function keepSocket(listener: net.Server, options: SocketOptions): () => void {
  const watch = setInterval(() => void remake(listener, options), CHECK_MS).unref();
  return () => clearInterval(watch);
}

/** Recreates the socket when it has been removed. Connections continue; a socket of another process is left alone. */
async function remake(listener: net.Server, options: SocketOptions): Promise<void> {
  if (statSync(options.path, { throwIfNoEntry: false }) !== undefined) return;
  log.warn("the socket was removed; it is made again", { path: options.path });
  // It stops listening at once, but its callback waits for its connections to end.
  if (listener.listening) listener.close();
  try {
    await listen(listener, options);
  } catch (error) {
    log.error("the socket could not be made again", { path: options.path, error: String(error) });
  }
}

/** Listens on the socket, which gets its mode and owner; one that nobody listens on any more is replaced. */
export async function listen(listener: net.Server, options: SocketOptions): Promise<void> {
  const { path } = options;
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new BerthError(
      "invalid_argument",
      `socket path is ${Buffer.byteLength(path)} bytes long, at most ${MAX_SOCKET_PATH} are possible: ${path}`,
      { path, hint: "choose a shorter path" },
    );
  await removeStale(path);
  const { mode = DEFAULT_MODE } = options;
  // The umask makes the socket private from the start; no other thread of the process creates files now.
  const mask = process.umask(0o777 & ~mode);
  try {
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen({ path, backlog: 1024 }, resolve);
    });
  } catch (cause) {
    throw new BerthError(
      BerthError.from(cause).code,
      `cannot listen on ${path}: ${(cause as Error).message}`,
      {
        stage: "listen",
        path,
        cause,
      },
    );
  } finally {
    process.umask(mask);
  }
  chmodSync(path, mode);
  if (options.uid !== undefined || options.gid !== undefined)
    chownSync(path, options.uid ?? process.getuid?.() ?? 0, options.gid ?? process.getgid?.() ?? 0);
}

/** Removes a socket without a listener; refuses to take over one that is in use. */
async function removeStale(path: string): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new BerthError("failed_precondition", `${path} exists and is not a socket`, {
      path,
      hint: "choose another address or remove the file",
    });
  const inUse = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (inUse)
    throw new BerthError("failed_precondition", `another process is already listening on ${path}`, {
      stage: "listen",
      path,
      hint: "stop it first, or choose another address",
    });
  unlinkSync(path);
}

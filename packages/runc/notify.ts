/**
 * sd_notify(3) across the container's boundary: the container gets its own socket, and its readiness is passed on to
 * the service manager behind NOTIFY_SOCKET, as in runc.
 */
import { BerthError, log } from "@berth/base";
import type { Additions } from "@berth/runtime";
import { containerFiles } from "@berth/runtime";
import { linux, type Sys } from "@berth/sys";

const FOLDER = "/run/notify";
const POLL_MS = 100;
const MESSAGE_LIMIT = 4096;
const BARRIER_MS = 30_000;

/** The service manager's address, an abstract name ("@name") with a NUL; undefined if there is none. */
export function managerSocket(sys: Sys): string | undefined {
  return sys.env("NOTIFY_SOCKET")?.replace(/^@/, "\0") || undefined;
}

/** Mount and variable that give the container access to the socket. */
export function notifyAdditions(root: string, id: string): Additions {
  return {
    env: [`NOTIFY_SOCKET=${FOLDER}/notify.sock`],
    mounts: [
      {
        destination: FOLDER,
        source: containerFiles(root, id).notify,
        options: ["bind", "nosuid", "noexec", "nodev", "ro"],
      },
    ],
  };
}

/** Creates the socket that the container writes to; its folder exists since the container's creation. */
export function openNotify(sys: Sys, root: string, id: string): number {
  const path = `${containerFiles(root, id).notify}/notify.sock`;
  const fd = sys.bindDatagram(path);
  // The container's process may run as any user.
  sys.chmod(path, 0o777);
  return fd;
}

/** Notifies the manager, and waits until it has processed the message (sd_notify_barrier(3)). */
async function notifyManager(sys: Sys, manager: string, ready: string, pid: number): Promise<void> {
  const utf8 = new TextEncoder();
  const socket = sys.connectUnix(manager, "datagram");
  const [ours, theirs] = sys.pipe();
  try {
    sys.write(socket, utf8.encode(`${ready}\n`));
    sys.write(socket, utf8.encode(`MAINPID=${pid}\n`));
    sys.sendDescriptor(socket, utf8.encode("BARRIER=1"), theirs);
  } catch (error) {
    sys.close(theirs);
    sys.close(ours);
    throw error;
  } finally {
    sys.close(socket);
  }
  sys.close(theirs);
  try {
    if ((await sys.poll(ours, linux.POLLIN, BARRIER_MS)) === 0)
      log.warn("Timeout after waiting 30s for barrier. Ignored.");
  } finally {
    sys.close(ours);
  }
}

/**
 * Waits for the container to be ready, and passes that on with `pid` as the main process; gives up when `ended`
 * returns true. Closes `fd`.
 */
export async function passOn(
  sys: Sys,
  fd: number,
  manager: string,
  pid: number,
  ended: () => boolean,
): Promise<void> {
  try {
    while (!ended()) {
      if ((await sys.poll(fd, linux.POLLIN, POLL_MS)) === 0) continue;
      const text = new TextDecoder().decode(sys.readSync(fd, MESSAGE_LIMIT));
      const ready = text.split("\n").find((line) => line.startsWith("READY="));
      if (ready === undefined) continue;
      await notifyManager(sys, manager, ready, pid);
      return;
    }
  } catch (error) {
    log.warn(`NOTIFY_SOCKET: ${BerthError.from(error).message}`);
  } finally {
    sys.close(fd);
  }
}

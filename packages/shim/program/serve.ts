/** The process that serves: the Task and Sandbox services of all containers of one containerd and namespace. */
import { Shim } from "@berth/api/shim";
import { BerthError, log, systemClock } from "@berth/base";
import { linux, realSys as sys } from "@berth/sys";
import { serve as listen, type RunningServer, service } from "@berth/ttrpc";
import { eventMessage } from "../event-message.ts";
import { createTaskShim } from "../shim.ts";
import type { TaskShim } from "../task-shim.ts";
import type { ShimCall } from "./flags.ts";
import { LogFifo } from "./log-fifo.ts";
import { Publisher } from "./publisher.ts";
import { Residents } from "./residents.ts";
import { taskServices } from "./task-service.ts";

const SIGKILL = 9;
/** Descriptor over which `start` hears how it went. */
const TELL = 3;
const O_RDWR_CREAT = 2 | 0o100;
/** How long the last events may take to be handed over. */
const FLUSH_MS = 2000;
const LOST_STATUS = 137;

function need(call: ShimCall, name: "namespace" | "id" | "state" | "socket" | "bundle"): string {
  const value = call[name];
  if (!value) throw new BerthError("invalid_argument", `-${name}: found none, expected one`);
  return value;
}

/**
 * Takes the place, for as long as the process lives; false while another process has it. The folder of a process that
 * ends goes with it: then what was locked is no longer there, and it is tried once more.
 */
function takePlace(folder: string): boolean {
  for (;;) {
    sys.mkdirAll(folder, 0o711);
    let fd: number;
    try {
      fd = sys.open(`${folder}/lock`, O_RDWR_CREAT, 0o600);
    } catch (error) {
      if ((error as BerthError).code === "not_found") continue;
      throw error;
    }
    if (!linux.tryLock(fd)) {
      sys.close(fd);
      return false;
    }
    const locked = sys.stat(`/proc/self/fd/${fd}`);
    if (locked?.ino === sys.stat(`${folder}/lock`)?.ino) return true;
    sys.close(fd);
  }
}

/** Serves until nobody needs it; resolves when it does, and says so to who started it. */
export async function serve(call: ShimCall): Promise<void> {
  const tell = (text: string) => {
    sys.write(TELL, new TextEncoder().encode(text));
    sys.close(TELL);
  };
  try {
    const folder = need(call, "state");
    if (!takePlace(folder)) {
      tell("busy");
      return process.exit(0);
    }
    // The bundle that it was started in goes away before it does.
    process.chdir("/");
    await begin(call, folder);
    tell("serving");
  } catch (error) {
    tell(BerthError.from(error).message);
    process.exit(1);
  }
}

async function begin(call: ShimCall, folder: string): Promise<void> {
  const [namespace, id, socket] = [need(call, "namespace"), need(call, "id"), need(call, "socket")];
  const fifo = new LogFifo(sys, call.debug ?? false);
  // One container's trouble must not be the end of the others.
  process.on("uncaughtException", (error) => log.error("unexpected error", { error: String(error.stack) }));
  process.on("unhandledRejection", (error) => log.error("unexpected rejection", { error: String(error) }));
  const shim = createTaskShim({ sys, stateDir: folder });
  const publisher = new Publisher({
    sys,
    namespace,
    ttrpcAddress: sys.env("TTRPC_ADDRESS") ?? "",
    address: call.address ?? "",
    publishBinary: call["publish-binary"],
  });
  shim.onEvent((event) => {
    // containerd hears of a container's deletion only, never of an added process's.
    if (event.topic === "/tasks/delete" && event.execId !== "") return;
    publisher.publish(event.topic, eventMessage(event));
  });
  let server: RunningServer | undefined;
  const end = async () => {
    log.debug("the shim ends", { namespace });
    sys.unlink(socket);
    await publisher.close(FLUSH_MS);
    await server?.close(100);
    await shim.close();
    // Containers that are still there (a signal ended us) are found by `delete`, by what is kept of them.
    if (shim.list(namespace).length === 0) sys.removeTree(folder);
    process.exit(0);
  };
  const residents = new Residents(fifo, () => void end());
  residents.expect(id, need(call, "bundle"));
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => residents.endNow());
  // What is left of an earlier one; nobody listens there, for the place is ours.
  sys.unlink(socket);
  sys.mkdirAll(socket.slice(0, socket.lastIndexOf("/")), 0o711);
  server = await listen({
    address: socket,
    services: [
      ...taskServices(sys, namespace, shim, residents),
      service(Shim, {
        expect({ id: coming, bundle, debug }) {
          residents.expect(coming, bundle);
          if (debug) fifo.setDebug(true);
          return { pid: sys.pid() };
        },
        remove: ({ id: gone }) => removeTask(shim, residents, namespace, gone),
      }),
    ],
  });
  log.debug("the shim serves", { namespace, socket });
}

/** Kills a container and removes it, whatever it is doing. */
async function removeTask(shim: TaskShim, residents: Residents, namespace: string, id: string) {
  const ref = { namespace, id };
  let exit = { pid: 0, exitStatus: LOST_STATUS, exitedAt: systemClock.wall() };
  if (residents.has(id)) {
    const { pid, status } = shim.state(ref);
    if (status !== "stopped" && status !== "created") {
      await shim.kill(ref, SIGKILL, true).catch(() => undefined);
      await shim.wait(ref);
    }
    exit = { ...(await shim.delete(ref)), pid };
  }
  residents.leave(id);
  return exit;
}

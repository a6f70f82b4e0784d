/** The process that serves: the Task and Sandbox services of all containers of one containerd and namespace. */
import { Shim } from "@berth/api/shim";
import { BerthError, isCode, log, SIGKILL, systemClock } from "@berth/base";
import { service } from "@berth/rpc";
import { linux, realSys as sys } from "@berth/sys";
import { serve as listen, type RunningServer } from "@berth/ttrpc";
import { eventMessage } from "../contract/event-message.ts";
import type { Exit, TaskShim } from "../contract/task-shim.ts";
import { createTaskShim } from "../keeper/shim.ts";
import type { ShimCall } from "./flags.ts";
import { LogFifo } from "./log-fifo.ts";
import { Publisher } from "./publisher.ts";
import { Residents } from "./residents.ts";
import { sandboxService } from "./sandbox-service.ts";
import { Sandboxes } from "./sandboxes.ts";
import { taskServices } from "./task-service.ts";

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
    sys.mkdirAll(folder, 0o700);
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

interface Serving {
  shim: TaskShim;
  sandboxes: Sandboxes;
  residents: Residents;
  namespace: string;
}

type Removed = Exit & { pid: number };

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
  const sandboxes = new Sandboxes(sys, folder);
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
    const empty = residents.isEmpty;
    try {
      sys.unlink(socket);
      await publisher.close(FLUSH_MS);
      await server?.close(100);
      await shim.close();
      // Containers that are still there (a signal ended us) are found by `delete`, by what is kept of them.
      if (empty) sys.removeTree(folder);
    } finally {
      process.exit(0);
    }
  };
  const residents = new Residents(fifo, () => void end());
  const remove = (gone: string) => removeAll({ shim, sandboxes, residents, namespace }, gone);
  residents.expect(id, need(call, "bundle"));
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => residents.endNow());
  // What is left of an earlier one; nobody listens there, for the place is ours.
  sys.unlink(socket);
  sys.mkdirAll(socket.slice(0, socket.lastIndexOf("/")), 0o711);
  server = await listen({
    address: socket,
    services: [
      ...taskServices(sys, namespace, shim, residents, sandboxes),
      sandboxService(sys, sandboxes, residents, remove),
      service(Shim, {
        expect({ id: coming, bundle, debug }) {
          residents.expect(coming, bundle);
          if (debug) fifo.setDebug(true);
          return { pid: sys.pid() };
        },
        remove: ({ id: gone }) => remove(gone),
      }),
    ],
  });
  log.debug("the shim serves", { namespace, socket });
}

/** Kills a container and removes it, whatever it is doing; of a sandbox, first the containers in it. */
async function removeAll({ shim, sandboxes, residents, namespace }: Serving, id: string): Promise<Removed> {
  const ref = { namespace, id };
  let removed: Removed = { pid: 0, exitStatus: LOST_STATUS, exitedAt: systemClock.wall() };
  if (sandboxes.has(id)) {
    const { pid, members } = sandboxes.get(id);
    for (const member of members)
      if (residents.has(member)) await removeAll({ shim, sandboxes, residents, namespace }, member);
    await sandboxes.remove(id);
    removed = { ...removed, pid };
  } else if (shim.list(namespace).some((task) => task.id === id)) {
    const { pid, status } = shim.state(ref);
    if (status !== "stopped" && status !== "created") {
      await shim.kill(ref, SIGKILL, true).catch(() => undefined);
      await shim.wait(ref);
    }
    try {
      removed = { ...(await shim.delete(ref)), pid };
    } catch (error) {
      // Its own client was faster.
      if (!isCode(error, "not_found")) throw error;
    }
  }
  residents.leave(id);
  return removed;
}

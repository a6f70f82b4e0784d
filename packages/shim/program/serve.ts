/** The serving process: Task and Sandbox services for the containers of one containerd and namespace. */
import { Shim } from "@berth/api/shim";
import { BerthError, isCode, log, SIGKILL, systemClock } from "@berth/base";
import { service } from "@berth/rpc";
import { linux, type Sys } from "@berth/sys";
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

/** Descriptor for the report to `start`. */
const REPORT = 3;
/** How long the last events may take. */
const FLUSH_MS = 2000;
const LOST_STATUS = 137;

function need(call: ShimCall, name: "namespace" | "id" | "state" | "socket" | "bundle"): string {
  const value = call[name];
  if (!value) throw new BerthError("invalid_argument", `-${name}: found none, expected one`);
  return value;
}

/**
 * Locks the folder until this process exits; false if another process holds the lock. A process removes its folder when it
 * exits: if the locked file is no longer there, this tries again.
 */
export function takePlace(sys: Sys, folder: string): boolean {
  for (;;) {
    sys.mkdirAll(folder, 0o700);
    let fd: number;
    try {
      fd = sys.open(`${folder}/lock`, linux.O_RDWR | linux.O_CREAT, 0o600);
    } catch (error) {
      if ((error as BerthError).code === "not_found") continue;
      throw error;
    }
    if (!sys.tryLock(fd)) {
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

/** Serves until no container is left; resolves once it listens, and reports that to `start`. */
export async function serve(sys: Sys, call: ShimCall): Promise<void> {
  const report = (text: string) => {
    sys.write(REPORT, new TextEncoder().encode(text));
    sys.close(REPORT);
  };
  try {
    const folder = need(call, "state");
    if (!takePlace(sys, folder)) {
      report("busy");
      return sys.exit(0);
    }
    // The working folder is the bundle of the first container, which is removed earlier.
    sys.chdir("/");
    await begin(sys, call, folder);
    report("serving");
  } catch (error) {
    report(BerthError.from(error).message);
    sys.exit(1);
  }
}

async function begin(sys: Sys, call: ShimCall, folder: string): Promise<void> {
  const [namespace, id, socket] = [need(call, "namespace"), need(call, "id"), need(call, "socket")];
  const fifo = new LogFifo(sys, call.debug ?? false);
  // An error in one container must not end the others.
  sys.onUncaught((error, kind) => {
    if (kind === "exception") log.error("unexpected error", { error: String((error as Error).stack) });
    else log.error("unexpected rejection", { error: String(error) });
  });
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
    // containerd expects it for containers only, not for added processes.
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
      // If containers are left (after a signal), `delete` needs the records.
      if (empty) sys.removeTree(folder);
    } finally {
      sys.exit(0);
    }
  };
  const residents = new Residents(fifo, () => void end());
  const remove = (gone: string) => removeAll({ shim, sandboxes, residents, namespace }, gone);
  residents.expect(id, need(call, "bundle"));
  for (const signal of ["SIGTERM", "SIGINT"] as const) sys.onSignal(signal, () => residents.endNow());
  // A socket that is still there is a stale one: we hold the lock.
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

/** Kills and removes a container in any state; for a sandbox, its members first. */
async function removeAll(serving: Serving, id: string): Promise<Removed> {
  const { shim, sandboxes, residents, namespace } = serving;
  const ref = { namespace, id };
  let removed: Removed = { pid: 0, exitStatus: LOST_STATUS, exitedAt: systemClock.wall() };
  if (sandboxes.has(id)) {
    const { pid, members } = sandboxes.get(id);
    for (const member of members) if (residents.has(member)) await removeAll(serving, member);
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

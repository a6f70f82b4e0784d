/** The Task service on the wire, versions 2 and 3. */
import { ProcessDetailsSchema } from "@berth/api/runc";
import * as task2 from "@berth/api/task2";
import * as task3 from "@berth/api/task3";
import { Status } from "@berth/api/taskTypes";
import { timestamp } from "@berth/api/time";
import { BerthError } from "@berth/base";
import { type Service, type ServiceImpl, service } from "@berth/rpc";
import type { Sys } from "@berth/sys";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { ProcessRef, TaskShim, TaskStatus } from "../contract/task-shim.ts";
import { membership } from "./members.ts";
import { readCheckpoint, readCreateOptions } from "./options.ts";
import type { Residents } from "./residents.ts";
import type { Sandboxes } from "./sandboxes.ts";

const STATUS: Readonly<Record<TaskStatus, Status>> = {
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
  pausing: Status.PAUSING,
};

const VERSION = "0.1.0";

function bytesOf(any: Any | undefined, field: string): Uint8Array {
  if (any === undefined) throw new BerthError("invalid_argument", `${field}: found none, expected one`);
  return any.value;
}

/** The services over `shim`, for one namespace. */
export function taskServices(
  sys: Sys,
  namespace: string,
  shim: TaskShim,
  residents: Residents,
  sandboxes: Sandboxes,
): Service[] {
  const init = (id: string): ProcessRef => ({ namespace, id });
  const process = ({ id, execId }: { id: string; execId: string }): ProcessRef => ({ namespace, id, execId });
  const pidOf = (id: string) => {
    if (sandboxes.has(id)) return sandboxes.get(id).pid;
    return shim.list(namespace).find((task) => task.id === id)?.pid ?? 0;
  };
  const impl: ServiceImpl<typeof task3.Task> = {
    create(request, call) {
      const announced = residents.isAnnounced(request.id);
      return residents.admit(request.id, request.bundle, async () => {
        const { id, bundle, stdin, stdout, stderr, terminal, checkpoint } = request;
        if (request.parentCheckpoint !== "")
          throw new BerthError("unimplemented", "parent_checkpoint is not supported", {
            hint: "CRIU finds earlier images by the parent link in the image's folder",
          });
        const options = await readCreateOptions(sys, request.options);
        const stdio = { stdin, stdout, stderr, terminal };
        const member = membership(sys, sandboxes, bundle, announced);
        // Before the create: even a failed one must go with its sandbox.
        member?.sandbox.members.add(id);
        return shim.create(
          {
            namespace,
            id,
            bundle,
            stdio,
            rootfs: request.rootfs,
            options,
            ...(checkpoint === "" ? {} : { checkpoint }),
            ...(member === undefined ? {} : { spec: member.spec }),
          },
          call.signal,
        );
      });
    },
    start: (request) => shim.start(process(request)),
    async delete(request) {
      const { pid, exitStatus, exitedAt } = await shim.delete(process(request));
      if (request.execId === "") residents.leave(request.id);
      return { pid, exitStatus, exitedAt: timestamp(exitedAt) };
    },
    async exec(request) {
      const { stdin, stdout, stderr, terminal } = request;
      await shim.exec({
        ...process(request),
        execId: request.execId,
        stdio: { stdin, stdout, stderr, terminal },
        process: bytesOf(request.spec, "spec"),
      });
      return {};
    },
    state(request) {
      const found = shim.state(process(request));
      const { stdin, stdout, stderr, terminal } = found.stdio;
      return {
        id: found.execId || found.id,
        bundle: found.bundle,
        pid: found.pid,
        status: STATUS[found.status],
        stdin,
        stdout,
        stderr,
        terminal,
        exitStatus: found.exitStatus,
        ...(found.status === "stopped" ? { exitedAt: timestamp(found.exitedAt) } : {}),
        execId: found.execId,
      };
    },
    async kill(request) {
      await shim.kill(process(request), request.signal, request.all);
      return {};
    },
    async pause({ id }) {
      await shim.pause(init(id));
      return {};
    },
    async resume({ id }) {
      await shim.resume(init(id));
      return {};
    },
    async checkpoint({ id, path, options }) {
      await shim.checkpoint(init(id), readCheckpoint(path, options));
      return {};
    },
    async resizePty(request) {
      await shim.resizePty(process(request), request.width, request.height);
      return {};
    },
    async closeIO(request) {
      if (request.stdin) await shim.closeIO(process(request));
      return {};
    },
    async update({ id, resources }) {
      await shim.update(init(id), bytesOf(resources, "resources"));
      return {};
    },
    async wait(request, call) {
      const { exitStatus, exitedAt } = await shim.wait(process(request), call.signal);
      return { exitStatus, exitedAt: timestamp(exitedAt) };
    },
    async pids({ id }) {
      const found = await shim.pids(init(id));
      return {
        processes: found.map(({ pid, execId }) => ({ pid, ...(execId ? { info: details(execId) } : {}) })),
      };
    },
    async stats({ id }) {
      const { typeUrl, value } = await shim.stats(init(id));
      return { stats: { typeUrl, value: Uint8Array.from(value) } };
    },
    connect: ({ id }) => ({
      shimPid: sys.pid(),
      taskPid: pidOf(id),
      version: VERSION,
    }),
    shutdown() {
      residents.endIfEmpty();
      return {};
    },
  };
  return [service(task3.Task, impl), service(task2.Task, impl as ServiceImpl<typeof task2.Task>)];
}

function details(execId: string) {
  const value = toBinary(ProcessDetailsSchema, create(ProcessDetailsSchema, { execId }));
  return { typeUrl: ProcessDetailsSchema.typeName, value };
}

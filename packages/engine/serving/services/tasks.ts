/** The Tasks service on the wire. */
import { pack, runc, tasks, taskTypes, timestamp } from "@berth/api";
import { isCode } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import type { Exit, TaskState, TaskStatus } from "@berth/shim";
import { scopeOf } from "../../base/core/scope.ts";
import { now } from "../../base/core/time.ts";
import { toDescriptor } from "../../base/core/wire.ts";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import type { TaskManager } from "../../work/tasks/task-manager.ts";

const STATUS: Readonly<Record<TaskStatus, taskTypes.Status>> = {
  created: taskTypes.Status.CREATED,
  running: taskTypes.Status.RUNNING,
  stopped: taskTypes.Status.STOPPED,
  paused: taskTypes.Status.PAUSED,
  pausing: taskTypes.Status.PAUSING,
};

function show(task: TaskState) {
  return {
    containerId: task.id,
    id: task.execId || task.id,
    pid: task.pid,
    status: STATUS[task.status],
    stdin: task.stdio.stdin,
    stdout: task.stdio.stdout,
    stderr: task.stdio.stderr,
    terminal: task.stdio.terminal,
    exitStatus: task.exitStatus,
    ...(task.status === "stopped" ? { exitedAt: timestamp(task.exitedAt) } : {}),
  };
}

function ended(id: string, exit: Exit & { pid: number }) {
  return { id, pid: exit.pid, exitStatus: exit.exitStatus, exitedAt: timestamp(exit.exitedAt) };
}

/** Serves `manager`. */
export function tasksService(manager: TaskManager): Service {
  const init = (call: Parameters<typeof scopeOf>[0], id: string) => ({
    namespace: scopeOf(call).namespace,
    id,
  });
  const process = (call: Parameters<typeof scopeOf>[0], r: { containerId: string; execId: string }) => ({
    namespace: scopeOf(call).namespace,
    id: r.containerId,
    execId: r.execId,
  });
  return service(tasks.Tasks, {
    create: async (request, call) => {
      const { namespace } = scopeOf(call);
      const { pid } = await manager.create(namespace, request, call.signal);
      return { containerId: request.containerId, pid };
    },
    start: (request, call) => manager.start(process(call, request), call.signal),
    delete: async ({ containerId }, call) =>
      ended(containerId, await manager.delete(init(call, containerId))),
    deleteProcess: async (request, call) =>
      ended(request.execId, await manager.delete(process(call, request))),
    get: (request, call) => ({ process: show(manager.state(process(call, request))) }),
    list: (_request, call) => ({ tasks: manager.list(scopeOf(call).namespace).map(show) }),
    kill: async (request, call) => {
      await manager.kill(process(call, request), request.signal, request.all);
      return {};
    },
    exec: async (request, call) => {
      const { stdin, stdout, stderr, terminal } = request;
      await manager.exec(process(call, request), { stdin, stdout, stderr, terminal }, request.spec);
      return {};
    },
    checkpoint: async ({ containerId, options }, call) => ({
      descriptors: (await manager.checkpoint(scopeOf(call), containerId, options, call.signal)).map(
        toDescriptor,
      ),
    }),
    resizePty: async (request, call) => {
      await manager.resizePty(process(call, request), request.width, request.height);
      return {};
    },
    closeIO: async (request, call) => {
      if (request.stdin) await manager.closeIO(process(call, request));
      return {};
    },
    pause: async ({ containerId }, call) => {
      await manager.pause(init(call, containerId));
      return {};
    },
    resume: async ({ containerId }, call) => {
      await manager.resume(init(call, containerId));
      return {};
    },
    listPids: async ({ containerId }, call) => ({
      processes: (await manager.pids(init(call, containerId))).map(({ pid, execId }) => ({
        pid,
        ...(execId ? { info: pack(runc.ProcessDetailsSchema, { execId }) } : {}),
      })),
    }),
    update: async ({ containerId, resources }, call) => {
      await manager.update(init(call, containerId), resources);
      return {};
    },
    metrics: async ({ filters }, call) => {
      const { namespace } = scopeOf(call);
      const passes = await compileFilters(filters, (t: TaskState) =>
        // Computed only if a filter uses it.
        fieldsOf({
          id: t.id,
          namespace,
          get runtime() {
            return manager.runtimeOf(t);
          },
        }),
      );
      const metrics = await Promise.all(
        manager
          .list(namespace)
          .filter(passes)
          .map(async ({ id }) => {
            try {
              const data = await manager.stats({ namespace, id });
              return { timestamp: timestamp(now()), id, data };
            } catch (error) {
              // It has exited meanwhile.
              if (isCode(error, "not_found") || isCode(error, "failed_precondition")) return undefined;
              throw error;
            }
          }),
      );
      return { metrics: metrics.filter((m) => m !== undefined) };
    },
    wait: async (request, call) => {
      const { exitStatus, exitedAt } = await manager.wait(process(call, request), call.signal);
      return { exitStatus, exitedAt: timestamp(exitedAt) };
    },
  });
}

/** Routes a Task service to berth's own shim or to foreign ones: by the runtime of a create, later by the task. */
import type { ProcessRef, TaskShim } from "./task-shim.ts";

/** A Task service that knows its tasks. */
export interface ForeignTasks extends TaskShim {
  /** Was this task created here? */
  has(ref: ProcessRef): boolean;
}

/** See the module comment. */
export function routeTasks(own: TaskShim, foreign: ForeignTasks): TaskShim {
  const of = (ref: ProcessRef) => (foreign.has(ref) ? foreign : own);
  return {
    recover: async () => {
      await Promise.all([own.recover(), foreign.recover()]);
    },
    create: (request, signal) =>
      request.runtime === undefined ? own.create(request, signal) : foreign.create(request, signal),
    start: (ref, signal) => of(ref).start(ref, signal),
    delete: (ref) => of(ref).delete(ref),
    exec: (request) => of(request).exec(request),
    state: (ref) => of(ref).state(ref),
    list: (namespace) => [...own.list(namespace), ...foreign.list(namespace)],
    kill: (ref, signal, all) => of(ref).kill(ref, signal, all),
    checkpoint: (ref, request) => of(ref).checkpoint(ref, request),
    pause: (ref) => of(ref).pause(ref),
    resume: (ref) => of(ref).resume(ref),
    resizePty: (ref, width, height) => of(ref).resizePty(ref, width, height),
    closeIO: (ref) => of(ref).closeIO(ref),
    pids: (ref) => of(ref).pids(ref),
    wait: (ref, signal) => of(ref).wait(ref, signal),
    update: (ref, resources) => of(ref).update(ref, resources),
    stats: (ref) => of(ref).stats(ref),
    observe: (event) => foreign.observe(event),
    onEvent(listener) {
      const stop = [own.onEvent(listener), foreign.onEvent(listener)];
      return () => {
        for (const s of stop) s();
      };
    },
    close: async () => {
      await Promise.all([own.close(), foreign.close()]);
    },
  };
}

/**
 * The Task service over keepers: containers by `packages/runtime`, one keeper per process. Everything that a later daemon
 * needs is recorded before it is done, for {@link TaskShim.recover}. One file per verb.
 */
import * as runtime from "@berth/runtime";
import { realSys, type Sys } from "@berth/sys";
import type { TaskShim } from "../contract/task-shim.ts";
import { checkpointTask } from "./checkpoint.ts";
import { ShimContext } from "./context.ts";
import { Creator } from "./create.ts";
import { remove } from "./delete.ts";
import { exec } from "./exec.ts";
import { Folders } from "./folders.ts";
import { kill } from "./kill.ts";
import { taskMetrics } from "./metrics.ts";
import { recover } from "./recover.ts";
import { start } from "./start.ts";
import { pidsOf, stateOf } from "./state.ts";
import { closeIO, resizePty } from "./streams.ts";

/** Options of a shim. */
export interface ShimOptions {
  /** Default: the real machine. */
  sys?: Sys;
  /** A folder that is empty after a reboot: "/run/berth". */
  stateDir: string;
  /** Limit of concurrent creates and starts, 0 for none. Default: four per processor. */
  startWorkers?: number;
}

const text = new TextDecoder();

/** See the module comment. */
export function createTaskShim({ sys = realSys, stateDir, startWorkers }: ShimOptions): TaskShim {
  const folders = new Folders(stateDir);
  sys.mkdirAll(stateDir, 0o711);
  for (const folder of [folders.tasks, folders.keepers]) {
    sys.mkdirAll(folder, 0o700);
    // Earlier versions created it with 0711.
    sys.chmod(folder, 0o700);
  }
  const shim = new ShimContext(sys, folders, startWorkers ?? 4 * sys.processors());
  const creator = new Creator(shim);
  return {
    recover: () => recover(shim),
    create: (request, signal) => creator.create(request, signal),
    start: (ref, signal) => start(shim, ref, signal),
    delete: (ref) => remove(shim, ref),
    exec: async (request) => exec(shim, request),
    state(ref) {
      const { task, process } = shim.process(ref);
      return stateOf(shim, task, process);
    },
    list: (namespace) =>
      [...shim.tasks.values()]
        .filter((task) => namespace === undefined || task.namespace === namespace)
        .map((task) => stateOf(shim, task, task.processes.get("")!)),
    kill: (ref, signal, all) => kill(shim, ref, signal, all),
    async pause(ref) {
      const task = shim.task(ref);
      await runtime.pause(shim.runtimeOf(task), task.id);
      shim.emit({ topic: "/tasks/paused", namespace: task.namespace, id: task.id });
    },
    async resume(ref) {
      const task = shim.task(ref);
      await runtime.resume(shim.runtimeOf(task), task.id);
      shim.emit({ topic: "/tasks/resumed", namespace: task.namespace, id: task.id });
    },
    checkpoint: (ref, request) => checkpointTask(shim, ref, request),
    resizePty: (ref, width, height) => resizePty(shim, ref, width, height),
    closeIO: (ref) => closeIO(shim, ref),
    pids: async (ref) => pidsOf(shim, ref),
    wait: async (ref, signal) => shim.process(ref).process.wait(signal),
    async update(ref, resources) {
      const task = shim.task(ref);
      await runtime.update(shim.runtimeOf(task), task.id, text.decode(resources));
    },
    async stats(ref) {
      const task = shim.task(ref);
      return taskMetrics(sys, runtime.inspect(shim.runtimeOf(task), task.id).record.cgroup);
    },
    // Its tasks are in this process.
    // What becomes of its tasks is known from their keepers alone.
    observe: () => false,
    onEvent: (listener) => shim.listen(listener),
    close: async () => shim.close(),
  };
}

/** How a process of a task is launched: its keeper, and the logging program where it has one. */
import type { Attachment } from "@berth/runtime";
import type { ShimContext, Task } from "./context.ts";
import type { ProcessRecord } from "./folders.ts";
import { type RunningLogger, startLogger } from "./logger.ts";
import { streamsOf } from "./stdio.ts";

/** What the runtime's create and exec have in common. */
export interface TaskLaunch {
  attachment: Attachment & { kind: "keeper" };
  stdio: readonly [number, number, number];
  inherited: readonly number[];
  preserved: readonly number[];
  noNewKeyring: boolean;
}

/** Runs `launch` with the settings of a process; what they hold open is closed afterwards. */
export async function withSettings<T>(
  shim: ShimContext,
  task: Task,
  record: ProcessRecord,
  launch: (settings: TaskLaunch) => Promise<T>,
): Promise<T> {
  const { folders } = shim;
  const { streams, logger } = streamsOf(record.stdio);
  const running: RunningLogger | undefined =
    logger === undefined ? undefined : await startLogger(shim, task, logger);
  const none = shim.nothing();
  try {
    return await launch({
      attachment: {
        kind: "keeper",
        keeper: {
          folder: folders.keepers,
          exitName: folders.exitName(record.token),
          socket: folders.socket(record.token),
          streams,
        },
      },
      stdio: [none, none, none],
      inherited: running === undefined ? [] : [running.stdout, running.stderr],
      preserved: [],
      noNewKeyring: task.options.noNewKeyring ?? false,
    });
  } finally {
    running?.close();
  }
}

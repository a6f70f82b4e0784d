/** Launch settings of a task's process: its keeper, and its logging program if any. */
import { present } from "@berth/base";
import type { Attachment, LaunchSettings } from "@berth/runtime";
import { shimCgroupFolders } from "../contract/shim-cgroup.ts";
import type { ShimContext, Task } from "./context.ts";
import type { ProcessRecord } from "./folders.ts";
import { type RunningLogger, startLogger } from "./logger.ts";
import { streamsOf } from "./stdio.ts";

/** Settings for a process with a keeper. */
type KeeperLaunch = LaunchSettings & { attachment: Attachment & { kind: "keeper" } };

/** Runs `launch` with the settings of a process, and closes their descriptors afterwards. */
export async function withSettings<T>(
  shim: ShimContext,
  task: Task,
  record: ProcessRecord,
  launch: (settings: KeeperLaunch) => Promise<T>,
): Promise<T> {
  const { folders } = shim;
  const { streams, logger } = streamsOf(record.stdio);
  const { ioOwner, shimCgroup } = task.options;
  const running: RunningLogger | undefined =
    logger === undefined ? undefined : await startLogger(shim, task, logger);
  const devNull = shim.devNull();
  try {
    return await launch({
      attachment: {
        kind: "keeper",
        keeper: {
          folder: folders.keepers,
          exitName: folders.exitName(record.token),
          socket: folders.socket(record.token),
          streams: { ...streams, ...present({ owner: ioOwner }) },
          cgroup: shimCgroup === undefined ? [] : shimCgroupFolders(shim.sys, shimCgroup),
        },
      },
      stdio: [devNull, devNull, devNull],
      inherited: running === undefined ? [] : [running.stdout, running.stderr],
      preserved: [],
      noNewKeyring: task.options.noNewKeyring ?? false,
    });
  } finally {
    running?.close();
  }
}

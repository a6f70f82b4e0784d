/** Restores a container from a checkpoint: its keeper is CRIU's parent, and adopts the restored process. */
import { BerthError, stage } from "@berth/base";
import type { ShimContext, Task } from "./context.ts";
import { follow } from "./follow.ts";
import { KeeperLink } from "./keeper-link.ts";
import type { KeeperProcess } from "./keeper-process.ts";
import { withSettings } from "./launch-settings.ts";
import { withLoops } from "./loops.ts";

/** Refuses tasks that cannot be restored. */
export function checkRestorable(terminal: boolean): void {
  if (terminal)
    throw new BerthError("unimplemented", "checkpoint: a container with a terminal cannot be restored yet", {
      stage: "restore",
      hint: "run it without a terminal, or restore it with `berth-runc restore`",
    });
}

async function adopt(shim: ShimContext, token: string, pid: number): Promise<void> {
  const link = await KeeperLink.open(shim.sys, shim.folders.socket(token));
  if (link === undefined)
    throw new BerthError("internal", "the keeper of the restored process has gone", { stage: "restore" });
  try {
    await link.command(`ADOPT ${pid}`);
  } finally {
    link.close();
  }
}

/** Restores the processes; they run when this resolves. */
export async function restoreTask(shim: ShimContext, task: Task, process: KeeperProcess): Promise<void> {
  const { id, bundle, options } = task;
  const { record } = process;
  const { restore } = await import("@berth/runtime/checkpoint");
  await stage("runtime restore", { id }, () =>
    withSettings(shim, task, record, ({ attachment, inherited, stdio }) =>
      withLoops(shim.sys, record.rootfs ?? [], (rootMounts) =>
        restore(shim.runtimeOf(task), {
          id,
          bundle,
          rootMounts,
          imagePath: record.checkpoint!,
          workPath: options.criuWorkPath || undefined,
          stdio,
          keeper: { plan: attachment.keeper, inherited },
          tcpEstablished: true,
          tcpClose: false,
          externalUnixSockets: true,
          // CRIU would look for its terminal at descriptor 0, which it has passed on by then.
          shellJob: false,
          fileLocks: true,
          autoDedup: false,
          lazyPages: false,
          emptyNamespaces: 0,
          cgroupMode: undefined,
          networkLock: undefined,
          lsmProfile: undefined,
          lsmMountContext: undefined,
          onTerminal: () => ({ keep: false }),
          onRestored: async (pid) => {
            await adopt(shim, record.token, pid);
            shim.setPid(record, pid);
            shim.save(task, record);
          },
        }),
      ),
    ),
  );
  await follow(shim, task, process);
}

/** Restores a container from a checkpoint: its keeper is CRIU's parent, and adopts the restored process. */
import { BerthError, stage } from "@berth/base";
import type { ShimContext, Task } from "./context.ts";
import { follow } from "./follow.ts";
import { KeeperLink } from "./keeper-link.ts";
import type { KeeperProcess } from "./keeper-process.ts";
import { withSettings } from "./launch-settings.ts";
import { withLoops } from "./loops.ts";

const utf8 = new TextEncoder();
const text = new TextDecoder();

const gone = () =>
  new BerthError("internal", "the keeper of the restored process has gone", { stage: "restore" });

async function adopt(shim: ShimContext, token: string, pid: number): Promise<void> {
  const link = await KeeperLink.open(shim.sys, shim.folders.socket(token));
  if (link === undefined) throw gone();
  try {
    await link.command(`ADOPT ${pid}`);
  } finally {
    link.close();
  }
}

/** Hands the terminal's master to the keeper, and waits until it has it. */
async function handTerminal({ sys, folders }: ShimContext, token: string, master: number): Promise<void> {
  const fd = sys.connectUnix(folders.socket(token));
  try {
    sys.sendDescriptor(fd, utf8.encode("TERMINAL\n"), master);
    for (let answer = ""; !answer.endsWith("OK\n"); ) {
      const bytes = await sys.read(fd, 256);
      if (bytes.length === 0 || answer.includes("ERR")) throw gone();
      answer += text.decode(bytes);
    }
  } finally {
    sys.close(fd);
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
          onTerminal: async (master) => {
            await handTerminal(shim, record.token, master);
            return { keep: false };
          },
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

/** Starts a container's process, watched or not. */
import { BerthError } from "@berth/base";
import type { BerthClient, Container, Fifos } from "@berth/client";
import type { Context } from "../command.ts";
import { CommandError, startExitCode } from "../errors.ts";
import { LABEL } from "./labels.ts";
import { logPathFor, logRoot, makeLogFolder } from "./log-path.ts";
import { detachedIO } from "./stdio.ts";
import { ignoreMissing } from "./stop.ts";

/** How to watch. */
export interface AttachWishes {
  stdin: boolean;
  terminal: boolean;
  detachKeys: string | undefined;
}

/** Where a container's log goes: where it was made to, or a new place. */
export async function logPathOf(
  context: Context,
  client: BerthClient,
  container: Container,
): Promise<string> {
  const known = container.labels[LABEL.logPath];
  return known ?? logPathFor(await logRoot(context, client), context.namespace, container.id);
}

/** Makes and starts a task that nobody watches. Nothing is left of it when it does not start. */
export async function startDetached(container: Container, logPath: string, terminal: boolean): Promise<void> {
  try {
    makeLogFolder(logPath);
    const task = await container.newTask(detachedIO(logPath, terminal));
    try {
      await task.start();
    } catch (error) {
      await ignoreMissing(task.delete()).catch(() => {});
      throw error;
    }
  } catch (error) {
    throw new CommandError(BerthError.from(error), startExitCode(error));
  }
}

/** Makes the FIFOs that watching takes; may be begun before there is a container. */
export async function makeFifos(wishes: AttachWishes): Promise<Fifos> {
  const { Fifos } = await import("@berth/client");
  return Fifos.create({ stdin: wishes.stdin, stdout: true, stderr: !wishes.terminal });
}

/** Makes and starts a task with this terminal; gives its exit code, or undefined when the user left it running. */
export async function startAttached(
  container: Container,
  logPath: string,
  wishes: AttachWishes,
  making: Promise<Fifos> = makeFifos(wishes),
): Promise<number | undefined> {
  const [{ Attachment }, { attachedIO }] = await Promise.all([
    import("../terminal/attach.ts"),
    import("./stdio.ts"),
  ]);
  const { stdin, terminal, detachKeys } = wishes;
  await using fifos = await making;
  const attachment = new Attachment(fifos, { stdin, terminal, detachKeys });
  try {
    makeLogFolder(logPath);
    const task = await container.newTask(attachedIO(logPath, terminal, fifos));
    try {
      await attachment.connect(task);
      await task.start();
    } catch (error) {
      await ignoreMissing(task.delete()).catch(() => {});
      throw error;
    }
    return await attachment.wait(task);
  } catch (error) {
    throw new CommandError(BerthError.from(error), startExitCode(error));
  } finally {
    attachment.close();
  }
}

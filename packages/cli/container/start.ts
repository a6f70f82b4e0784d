/** Starts a container's process, watched or not. */
import { BerthError, isCode } from "@berth/base";
import { type BerthClient, type Container, type Fifos, LABEL, type Task, type TaskIO } from "@berth/client";
import type { Context } from "../command.ts";
import { CommandError, NotStarted, startExitCode } from "../errors.ts";
import type { Attachment } from "../terminal/attach.ts";
import { logPathFor, logRoot } from "./log-path.ts";
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

/** Starts a container that nobody watches. Nothing is left of its task when it does not start. */
export async function startDetached(container: Container): Promise<void> {
  try {
    await container.start();
  } catch (error) {
    throw new NotStarted(error);
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
    const task = await makeAndStart(container, attachedIO(logPath, terminal, fifos), attachment);
    return await attachment.wait(task);
  } catch (error) {
    if (error instanceof NotStarted) throw error;
    throw new CommandError(BerthError.from(error), startExitCode(error));
  } finally {
    attachment.close();
  }
}

async function makeAndStart(container: Container, io: TaskIO, attachment: Attachment): Promise<Task> {
  let task: Task | undefined;
  try {
    task = await container.newTask(io);
    await attachment.connect(task);
    await task.start();
    return task;
  } catch (error) {
    if (task !== undefined) {
      // Somebody else may have started it: then it runs as it was to.
      const status = (await container.taskState().catch(() => undefined))?.status;
      if (isCode(error, "failed_precondition") && status === "running") return task;
      await ignoreMissing(task.delete()).catch(() => {});
    }
    throw new NotStarted(error);
  }
}

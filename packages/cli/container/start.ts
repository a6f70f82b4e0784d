/** Starts a container's process, watched or not. */
import { BerthError } from "@berth/base";
import { type BerthClient, type Container, type Fifos, LABEL, type Task, type TaskIO } from "@berth/client";
import { CommandError, NotStarted, startExitCode } from "../errors.ts";
import type { Attachment, AttachOptions } from "../terminal/attach.ts";

/** Where a container's log goes: where its label says, or to the usual place. */
export async function logPathOf(client: BerthClient, container: Container): Promise<string> {
  const known = container.labels[LABEL.logPath];
  if (known !== undefined) return known;
  const { logPathFor, logRoot } = await import("@berth/client");
  return logPathFor(await logRoot(client), client.namespace, container.id);
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
export async function makeFifos(options: AttachOptions): Promise<Fifos> {
  const { Fifos } = await import("@berth/client");
  return Fifos.create({ stdin: options.stdin, stdout: true, stderr: !options.terminal });
}

/** Makes and starts a task with this terminal; gives its exit code, or undefined when the user left it running. */
export async function startAttached(
  container: Container,
  logPath: string,
  options: AttachOptions,
  making: Promise<Fifos> = makeFifos(options),
): Promise<number | undefined> {
  const [{ Attachment }, { attachedIO }] = await Promise.all([
    import("../terminal/attach.ts"),
    import("@berth/client"),
  ]);
  await using fifos = await making;
  const attachment = new Attachment(fifos, options);
  try {
    const io = attachedIO(logPath, options.terminal, fifos);
    const task = await started(container, io, attachment);
    return await attachment.wait(task);
  } catch (error) {
    if (error instanceof NotStarted) throw error;
    throw new CommandError(BerthError.from(error), startExitCode(error));
  } finally {
    attachment.close();
  }
}

async function started(container: Container, io: TaskIO, attachment: Attachment): Promise<Task> {
  try {
    return await container.startTask(io, (task) => attachment.connect(task));
  } catch (error) {
    throw new NotStarted(error);
  }
}

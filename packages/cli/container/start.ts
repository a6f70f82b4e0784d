/** Starts a container's process, attached or detached. */
import { BerthError } from "@berth/base";
import { type BerthClient, type Container, type Fifos, LABEL, type Task, type TaskIO } from "@berth/client";
import { CommandError, NotStarted, startExitCode } from "../errors.ts";
import type { Attachment, AttachOptions } from "../terminal/attach.ts";

/** Path of a container's log: from its label, or the default. */
export async function logPathOf(client: BerthClient, container: Container): Promise<string> {
  const known = container.labels[LABEL.logPath];
  if (known !== undefined) return known;
  const { logPathFor, logRoot } = await import("@berth/client");
  return logPathFor(await logRoot(client), client.namespace, container.id);
}

/** Starts a container detached. A task that fails to start is removed. */
export async function startDetached(container: Container): Promise<void> {
  try {
    await container.start();
  } catch (error) {
    throw new NotStarted(error);
  }
}

/** Creates the FIFOs for attaching; may be called before the container exists. */
export async function makeFifos(options: AttachOptions): Promise<Fifos> {
  const { Fifos } = await import("@berth/client");
  return Fifos.create({ stdin: options.stdin, stdout: true, stderr: !options.terminal });
}

/** Creates and starts a task attached to this terminal; returns its exit code, or undefined if the user detached. */
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

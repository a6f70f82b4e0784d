/** berth run: creates and starts a container. */
import { BerthError, isCode } from "@berth/base";
import { type Container, LABEL } from "@berth/client";
import { command } from "../command.ts";
import { createContainer } from "../container/create.ts";
import { CREATE_FLAGS } from "../container/create-flags.ts";
import { makeFifos, startAttached, startDetached } from "../container/start.ts";
import { removeContainer } from "../container/stop.ts";
import { CommandError, EXIT, NotStarted, sentence } from "../errors.ts";
import { bool, usageError } from "../flags.ts";

export default command({
  usage: "IMAGE [COMMAND] [ARG...]",
  summary: "Create a container from an image and run it",
  flags: {
    ...CREATE_FLAGS,
    detach: bool("Do not watch it; print its id", "d"),
    keepFailed: bool("Keep a container that could not be started"),
  },
  stopAtArgument: true,
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, [image, ...args]) {
    if (flags.tty && !flags.detach && flags.interactive && !process.stdin.isTTY)
      throw usageError("the input device is not a TTY: leave out -t, or call berth from a terminal");
    if (flags.rm && flags.keepFailed)
      throw usageError("conflicting options: cannot specify both --keep-failed and --rm");
    // Parsed before anything is created.
    if (flags.detachKeys !== undefined)
      (await import("../terminal/detach.ts")).parseDetachKeys(flags.detachKeys);
    const watch = { stdin: flags.interactive, terminal: flags.tty, detachKeys: flags.detachKeys };
    // In parallel with the container's creation.
    const fifos = flags.detach ? undefined : makeFifos(watch);
    fifos?.catch(() => {});
    try {
      // This command removes the container after reading its exit code; if killed first, the daemon does so a little
      // later.
      const autoRemove = flags.rm ? (flags.detach ? "detached" : "attached") : undefined;
      const container = await createContainer(context, flags, image!, args, autoRemove);
      try {
        if (flags.detach) {
          await startDetached(container);
          context.out(`${container.id}\n`);
          return 0;
        }
        const code = await startAttached(container, container.labels[LABEL.logPath]!, watch, fifos);
        if (code === undefined) {
          // Detached: from now on its removal is up to the daemon.
          if (flags.rm) await container.setLabels({ ...container.labels, [LABEL.autoRemove]: "detached" });
          return 0;
        }
        if (flags.rm) await removeContainer(container, false);
        return code;
      } catch (error) {
        if (error instanceof NotStarted && !flags.keepFailed) await undo(container, error);
        else if (flags.rm) await removeContainer(container, true).catch(() => {});
        throw error;
      }
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(BerthError.from(error), EXIT.daemon);
    } finally {
      await fifos?.then((made) => made.close()).catch(() => {});
    }
  },
});

/**
 * Removes the container of a failed start, unless another client has taken it over: the daemon refuses to remove a
 * running one, and another client's task means that it is about to run. Throws the error, with what became of the
 * container.
 */
async function undo(container: Container, error: NotStarted): Promise<never> {
  if (isCode(error, "already_exists") || isCode(error, "unavailable")) throw error;
  try {
    await removeContainer(container, false);
  } catch {
    throw error;
  }
  const removed = "The container was removed; --keep-failed keeps it.";
  throw new NotStarted(error, error.hint === undefined ? removed : `${sentence(error.hint)} ${removed}`);
}

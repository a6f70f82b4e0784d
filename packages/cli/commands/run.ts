/** berth run: a container from an image, at once. */
import { BerthError } from "@berth/base";
import { command } from "../command.ts";
import { createContainer } from "../container/create.ts";
import { CREATE_FLAGS } from "../container/create-flags.ts";
import { LABEL } from "../container/labels.ts";
import { makeFifos, startAttached, startDetached } from "../container/start.ts";
import { removeContainer, removeEnded } from "../container/stop.ts";
import { CommandError, EXIT } from "../errors.ts";
import { bool, usageError } from "../flags.ts";

export default command({
  usage: "IMAGE [COMMAND] [ARG...]",
  summary: "Create a container from an image and run it",
  flags: { ...CREATE_FLAGS, detach: bool("Do not watch it; print its id", "d") },
  stopAtArgument: true,
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, [image, ...args]) {
    if (flags.tty && !flags.detach && flags.interactive && !process.stdin.isTTY)
      throw usageError("the input device is not a TTY: leave out -t, or call berth from a terminal");
    // Read before there is a container that would have to go again.
    if (flags.detachKeys !== undefined)
      (await import("../terminal/detach.ts")).parseDetachKeys(flags.detachKeys);
    const wishes = { stdin: flags.interactive, terminal: flags.tty, detachKeys: flags.detachKeys };
    // Made while the daemon makes the container.
    const fifos = flags.detach ? undefined : makeFifos(wishes);
    fifos?.catch(() => {});
    try {
      const client = await context.client();
      const autoRemove: Record<string, string> =
        // This command removes it as soon as it has the exit code; should it be killed, the daemon does, a little later.
        flags.rm ? { [LABEL.autoRemove]: flags.detach ? "true" : "attached" } : {};
      const { container, logPath } = await createContainer(context, flags, image!, args, autoRemove);
      try {
        if (flags.detach) {
          await startDetached(container, logPath, flags.tty);
          context.out(`${container.id}\n`);
          return 0;
        }
        const code = await startAttached(container, logPath, wishes, fifos);
        if (code === undefined) {
          // Left running: from now on the daemon has to remove it.
          if (flags.rm) await container.setLabels({ ...container.labels, [LABEL.autoRemove]: "true" });
          return 0;
        }
        if (flags.rm) await removeEnded(client, container);
        return code;
      } catch (error) {
        // docker keeps what it could not start, unless --rm was given.
        if (flags.rm) await removeContainer(client, container, true).catch(() => {});
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

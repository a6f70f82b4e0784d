/** berth start: starts a container that was created or has exited. */

import { ignoreMissing, SIGKILL } from "@berth/base";
import { type Container, LABEL } from "@berth/client";
import { command } from "../command.ts";
import { forEachContainer } from "../container/each.ts";
import { logPathOf, startAttached, startDetached } from "../container/start.ts";
import { isUp, seenOf } from "../container/state.ts";
import { removeContainer } from "../container/stop.ts";
import { bool, text, usageError } from "../flags.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Start stopped containers",
  flags: {
    attach: bool("Watch its output, and take its exit code", "a"),
    interactive: bool("Connect standard input too", "i"),
    detachKeys: text("KEYS", 'Keys that leave it running (default "ctrl-p,ctrl-q")'),
  },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    if (!flags.attach && !flags.interactive)
      return forEachContainer(context, names, async (container) => {
        await startDetached(container);
        return undefined;
      });
    if (names.length > 1)
      throw usageError("only one container can be watched: leave out -a and -i, or the others");
    const client = await context.client();
    const container = await client.containers.find(names[0]!);
    if (await clearTask(container))
      throw usageError(`container ${names[0]} is already running: it cannot be watched from its start`);
    const code = await startAttached(container, await logPathOf(client, container), {
      stdin: flags.interactive,
      terminal: container.spec().process?.terminal ?? false,
      detachKeys: flags.detachKeys,
    });
    if (code !== undefined && container.labels[LABEL.autoRemove] !== undefined)
      await removeContainer(container, true);
    return code ?? 0;
  },
});

/**
 * Removes an exited task, so that a new one can be created; returns true if a task runs or the daemon is about to
 * start it.
 */
async function clearTask(container: Container): Promise<boolean> {
  const known = await container.taskState();
  if (isUp(seenOf(container, known).state)) return true;
  const task = await container.task();
  if (!task) return false;
  if (known?.status === "created") await task.kill(SIGKILL).catch(() => {});
  await ignoreMissing(task.delete());
  return false;
}

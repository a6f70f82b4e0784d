/** berth restart: stop, remove the old task, make and start a new one. */
import { command } from "../command.ts";
import { forEachContainer } from "../container/each.ts";
import { logPathOf, startDetached } from "../container/start.ts";
import { GRACE_SECONDS, ignoreMissing, stopTask } from "../container/stop.ts";
import { text, wholeNumber } from "../flags.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Stop and start containers",
  flags: { time: text("SECONDS", `Grace period; -1 for ever (default ${GRACE_SECONDS})`, "t") },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    const grace = flags.time === undefined ? GRACE_SECONDS : wholeNumber("--time", flags.time, -1);
    return forEachContainer(context, names, async (container, client) => {
      const task = await container.task();
      if (task) {
        await stopTask(container, task, grace);
        await ignoreMissing(task.delete());
      }
      const terminal = container.spec().process?.terminal ?? false;
      await startDetached(container, await logPathOf(context, client, container), terminal);
      return undefined;
    });
  },
});

/** berth stop: signal, grace period, SIGKILL. */
import { command } from "../command.ts";
import { forEachContainer } from "../container/each.ts";
import { GRACE_SECONDS, stopTask } from "../container/stop.ts";
import { text, wholeNumber } from "../flags.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Stop containers: signal, grace period, SIGKILL",
  flags: { time: text("SECONDS", `Grace period; -1 for ever (default ${GRACE_SECONDS})`, "t") },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    const grace = flags.time === undefined ? GRACE_SECONDS : wholeNumber("--time", flags.time, -1);
    return forEachContainer(context, names, async (container) => {
      const task = await container.task();
      if (task) await stopTask(container, task, grace);
      return undefined;
    });
  },
});

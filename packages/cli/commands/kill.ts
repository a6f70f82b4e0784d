/** berth kill: sends a signal to the container's first process. */
import { BerthError, isCode, SIGKILL } from "@berth/base";
import { command } from "../command.ts";
import { forEachContainer, runningTask } from "../container/each.ts";
import { text } from "../flags.ts";
import { parseSignal } from "../signals.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Send a signal to containers",
  flags: { signal: text("SIGNAL", 'Name or number (default "KILL")', "s") },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    const signal = parseSignal("--signal", flags.signal ?? "KILL");
    return forEachContainer(context, names, async (container) => {
      const task = await runningTask(container);
      try {
        await task.kill(signal);
      } catch (error) {
        if (!isCode(error, "not_found")) throw error;
        throw new BerthError("failed_precondition", `container ${container.name} is not running`, {
          cause: error,
        });
      }
      // A container that has already gone was not paused.
      const status = signal === SIGKILL ? undefined : (await container.taskState())?.status;
      if (status === "paused") {
        const name = container.name;
        context.err(
          `container ${name} is paused: the signal waits until it goes on (berth unpause ${name})\n`,
        );
      }
      return undefined;
    });
  },
});

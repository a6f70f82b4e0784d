/** berth unpause: resumes a paused container. */
import { command } from "../command.ts";
import { forEachContainer, runningTask } from "../container/each.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Let paused containers go on",
  flags: {},
  args: [1, Number.POSITIVE_INFINITY],
  run: (context, _flags, names) =>
    forEachContainer(context, names, async (container) => {
      await (await runningTask(container)).resume();
      return undefined;
    }),
});

/** berth pause: freezes all processes of a container. */
import { command } from "../command.ts";
import { forEachContainer, runningTask } from "../container/each.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Freeze all processes of containers",
  flags: {},
  args: [1, Number.POSITIVE_INFINITY],
  run: (context, _flags, names) =>
    forEachContainer(context, names, async (container) => {
      await (await runningTask(container)).pause();
      return undefined;
    }),
});

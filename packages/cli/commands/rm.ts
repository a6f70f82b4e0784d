/** berth rm: removes containers and everything that belongs to them. */
import { command } from "../command.ts";
import { forEachContainer } from "../container/each.ts";
import { removeContainer } from "../container/stop.ts";
import { bool } from "../flags.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Remove containers",
  flags: { force: bool("Kill it first if it runs", "f") },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    return forEachContainer(context, names, async (container) => {
      await removeContainer(container, flags.force);
      return undefined;
    });
  },
});

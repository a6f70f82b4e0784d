/** berth stop: signal, grace period, SIGKILL; the daemon does the work. */
import { command } from "../command.ts";
import { forEachContainer } from "../container/each.ts";
import { STOP_FLAGS, stopOptions } from "../container/stop-flags.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Stop containers: signal, grace period, SIGKILL",
  flags: STOP_FLAGS,
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    const options = stopOptions(flags);
    return forEachContainer(context, names, async (container) => {
      await container.stop(options);
      return undefined;
    });
  },
});

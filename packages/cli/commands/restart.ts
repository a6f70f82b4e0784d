/** berth restart: stops the container and starts it again; the daemon does the work. */
import { BerthError } from "@berth/base";
import { command } from "../command.ts";
import { forEachContainer } from "../container/each.ts";
import { STOP_FLAGS, stopOptions } from "../container/stop-flags.ts";
import { CommandError, startExitCode } from "../errors.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Stop and start containers",
  flags: STOP_FLAGS,
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    const options = stopOptions(flags);
    return forEachContainer(context, names, async (container) => {
      try {
        await container.restart(options);
      } catch (error) {
        throw new CommandError(BerthError.from(error), startExitCode(error));
      }
      return undefined;
    });
  },
});

/** berth wait: waits until containers exit; prints their exit codes. */

import { LABEL } from "@berth/client";
import { command } from "../command.ts";
import { forEachContainer } from "../container/each.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Wait for containers to end, print their exit codes",
  flags: {},
  args: [1, Number.POSITIVE_INFINITY],
  run: (context, _flags, names) =>
    forEachContainer(context, names, async (container) => {
      const task = await container.task();
      return task ? String((await task.waitForEnd()).code) : (container.labels[LABEL.exitCode] ?? "0");
    }),
});

import { BerthError } from "@berth/base";
import { stringifyJson } from "@berth/oci";
import { type ContainerEvent, follow, stats } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { durationOf } from "../sizes.ts";

export const command = defineCommand({
  usage: "events [options] ID",
  help: "print a container's use of resources, and when it runs out of memory, as JSON lines",
  flags: {
    interval: { type: "string", help: "time between two prints (default: 5s)" },
    stats: { type: "bool", help: "print the use of resources once" },
  },
  args: [1, 1],
  async run({ runtime, out }, flags, [id]) {
    const interval = durationOf("interval", flags.interval ?? "5s");
    if (interval <= 0)
      throw new BerthError("invalid_argument", "duration interval must be greater than 0", {
        stage: "flags",
      });
    const print = (event: ContainerEvent) => out(`${stringifyJson(event)}\n`);
    if (flags.stats) print(stats(runtime, id!));
    else await follow(runtime, id!, interval, print);
    return 0;
  },
});

import { signalNumber } from "@berth/base";
import { kill } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { forEach, idsOf } from "../several.ts";

export const command = defineCommand({
  usage: "kill [options] ID [SIGNAL]",
  help: "send a signal (default: TERM) to a container's first process",
  flags: {
    all: { type: "bool", short: "a", help: "send it to every process of the container" },
    regex: { type: "bool", short: "r", help: "ID is a regular expression: all containers that match" },
  },
  args: [1, 2],
  async run({ runtime }, flags, [id, signal]) {
    const number = signalNumber(signal ?? "TERM");
    const ids = idsOf(runtime, id!, flags.regex ?? false);
    await forEach(ids, (each) => kill(runtime, each, number, flags.all ?? false));
    return 0;
  },
});

import { kill } from "../container/kill.ts";
import { defineCommand } from "./command.ts";
import { signalNumber } from "./signals.ts";

export const command = defineCommand({
  usage: "kill [options] ID [SIGNAL]",
  help: "send a signal (default: TERM) to a container's first process",
  flags: { all: { type: "bool", short: "a", help: "send it to every process of the container" } },
  args: [1, 2],
  async run({ runtime }, flags, [id, signal]) {
    await kill(runtime, id!, signalNumber(signal ?? "TERM"), flags.all ?? false);
    return 0;
  },
});

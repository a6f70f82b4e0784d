import { remove } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { forEach, idsOf } from "../several.ts";

export const command = defineCommand({
  usage: "delete [options] ID",
  help: "remove a stopped container",
  flags: {
    force: { type: "bool", short: "f", help: "kill it first if it is running" },
    regex: { type: "bool", help: "ID is a regular expression: all containers that match" },
  },
  args: [1, 1],
  async run({ runtime }, flags, [id]) {
    const ids = idsOf(runtime, id!, flags.regex ?? false);
    await forEach(ids, (each) => remove(runtime, each, flags.force ?? false));
    return 0;
  },
});

import { remove } from "../container/delete.ts";
import { defineCommand } from "./command.ts";

export const command = defineCommand({
  usage: "delete [options] ID",
  help: "remove a stopped container",
  flags: { force: { type: "bool", short: "f", help: "kill it first if it is running" } },
  args: [1, 1],
  async run({ runtime }, flags, [id]) {
    await remove(runtime, id!, flags.force ?? false);
    return 0;
  },
});

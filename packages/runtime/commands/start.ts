import { start } from "../container/start.ts";
import { defineCommand } from "./command.ts";

export const command = defineCommand({
  usage: "start ID",
  help: "execute the program of a created container",
  flags: {},
  args: [1, 1],
  async run({ runtime }, _, [id]) {
    await start(runtime, id!);
    return 0;
  },
});

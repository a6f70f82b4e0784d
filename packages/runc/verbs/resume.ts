import { resume } from "@berth/runtime";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  usage: "resume ID",
  help: "let a paused container go on",
  flags: {},
  args: [1, 1],
  async run({ runtime }, _, [id]) {
    await resume(runtime, id!);
    return 0;
  },
});

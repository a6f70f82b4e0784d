import { pause } from "@berth/runtime";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  usage: "pause ID",
  help: "suspend all processes of a container",
  flags: {},
  args: [1, 1],
  async run({ runtime }, _, [id]) {
    await pause(runtime, id!);
    return 0;
  },
});

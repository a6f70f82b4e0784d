import { features } from "@berth/runtime/features";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  usage: "features",
  help: "print what this runtime can do, as JSON",
  flags: {},
  args: [0, 0],
  async run({ out }) {
    out(`${JSON.stringify(features(), null, 2)}\n`);
    return 0;
  },
});

import { inspect } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { shownState } from "../listing.ts";

export const command = defineCommand({
  usage: "state ID",
  help: "print a container's state as JSON",
  flags: {},
  args: [1, 1],
  async run({ runtime, out }, _, [id]) {
    const { owner, ...shown } = shownState(runtime.sys, inspect(runtime, id!));
    out(`${JSON.stringify({ ...shown, owner: owner === "root" ? "" : owner }, null, 2)}\n`);
    return 0;
  },
});

import { BerthError } from "@berth/base";
import { changeMounts, parseMounts } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { absolute, readAll } from "../launching.ts";

export const command = defineCommand({
  usage: "mounts add|remove ID FILE",
  help: "add mounts to a running container, or remove them; FILE holds them as config.json does, - is the standard input",
  flags: {},
  args: [3, 3],
  async run({ runtime }, _, [how, id, file]) {
    if (how !== "add" && how !== "remove")
      throw new BerthError("invalid_argument", `unknown command ${how}: expected add or remove`, {
        stage: "flags",
      });
    const { sys } = runtime;
    const text = file === "-" ? await readAll(sys, 0) : sys.readText(absolute(sys, file!));
    await changeMounts(runtime, id!, how, parseMounts(text, file === "-" ? "standard input" : file!));
    return 0;
  },
});

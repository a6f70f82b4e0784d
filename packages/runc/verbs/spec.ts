import { BerthError } from "@berth/base";
import { defaultSpec } from "@berth/oci";
import { defineCommand } from "../command.ts";
import { absolute } from "../launching.ts";

export const command = defineCommand({
  usage: "spec [options]",
  help: "write a config.json to start from",
  flags: {
    bundle: { type: "string", short: "b", help: "folder to write it to (default: the working folder)" },
    rootless: { type: "bool", help: "for a container without root's rights" },
  },
  args: [0, 0],
  async run({ runtime }, flags) {
    const { sys } = runtime;
    const path = `${absolute(sys, flags.bundle ?? ".")}/config.json`;
    if (sys.lstat(path) !== undefined) {
      throw new BerthError("already_exists", "File config.json exists. Remove it first", {
        stage: "spec",
        path,
      });
    }
    const spec = defaultSpec(flags.rootless ? { rootless: { uid: sys.uid(), gid: sys.gid() } } : {});
    sys.writeFile(path, JSON.stringify(spec, null, "\t"), 0o666);
    return 0;
  },
});

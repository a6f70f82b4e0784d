/** berth config: looks at files of settings; the work is berthd's. */
import { BerthError } from "@berth/base";
import { command } from "../command.ts";

export default command({
  usage: "check|default|dump|migrate [FILE]",
  summary: "Check and show berthd's settings; read a containerd's config.toml",
  flags: {},
  args: [1, 2],
  async run(context, _flags, args) {
    const { berthd } = context.deps;
    if (berthd === undefined) throw new BerthError("unimplemented", "berth config: there is no berthd here");
    const { out, err, code } = await berthd(["config", ...args]);
    context.out(out);
    context.err(err.replace(/^berthd: /, "berth: "));
    return code;
  },
});

/** berth pull: an image from a registry. */
import { command } from "../command.ts";
import { bool, text } from "../flags.ts";
import { PLATFORM_FLAGS, platformOptions } from "../image/platform-flags.ts";
import { pullImage } from "../image/pull.ts";

export default command({
  usage: "NAME[:TAG|@DIGEST]",
  summary: "Fetch an image from a registry",
  flags: {
    quiet: bool("No progress", "q"),
    plainHttp: bool("Speak http, not https"),
    hostsDir: text("DIR", "Folder with hosts.toml files, on berthd's machine"),
    ...PLATFORM_FLAGS,
  },
  args: [1, 1],
  async run(context, flags, [name]) {
    const client = await context.client();
    const platforms = platformOptions(flags);
    const image = await pullImage(context, client, name!, {
      quiet: flags.quiet,
      plainHttp: flags.plainHttp,
      hostsDir: flags.hostsDir,
      ...platforms,
    });
    context.out(flags.quiet ? `${image.name}\n` : `Digest: ${image.target.digest}\n${image.name}\n`);
    return 0;
  },
});

/** berth pull: an image from a registry. */
import { command } from "../command.ts";
import { bool, text, usageError } from "../flags.ts";
import { pullImage } from "../image/pull.ts";

export default command({
  usage: "NAME[:TAG|@DIGEST]",
  summary: "Fetch an image from a registry",
  flags: {
    quiet: bool("No progress", "q"),
    plainHttp: bool("Speak http, not https"),
    hostsDir: text("DIR", "Folder with hosts.toml files, on berthd's machine"),
    platform: text("OS/ARCH[/VARIANT]", "Another platform than this machine's"),
  },
  args: [1, 1],
  async run(context, flags, [name]) {
    const client = await context.client();
    const platform = flags.platform === undefined ? undefined : platformOf(flags.platform);
    const image = await pullImage(context, client, name!, {
      quiet: flags.quiet,
      plainHttp: flags.plainHttp,
      hostsDir: flags.hostsDir,
      ...(platform ? { platform } : {}),
    });
    context.out(flags.quiet ? `${image.name}\n` : `Digest: ${image.target.digest}\n${image.name}\n`);
    return 0;
  },
});

function platformOf(text: string): { os: string; architecture: string; variant?: string } {
  const [os, architecture, variant, ...more] = text.split("/");
  if (!os || !architecture || more.length > 0)
    throw usageError(`--platform: found "${text}", expected OS/ARCH[/VARIANT], for instance linux/arm64`);
  return { os, architecture, ...(variant ? { variant } : {}) };
}

/** berth push: an image to a registry. */
import { command } from "../command.ts";
import { bool, text } from "../flags.ts";
import { findImage } from "../image/ensure.ts";
import { ProgressView } from "../terminal/progress.ts";

export default command({
  usage: "NAME[:TAG]",
  summary: "Send an image to a registry",
  flags: {
    quiet: bool("No progress", "q"),
    plainHttp: bool("Speak http, not https"),
    hostsDir: text("DIR", "Folder with hosts.toml files, on berthd's machine"),
  },
  args: [1, 1],
  async run(context, flags, [name]) {
    const client = await context.client();
    const image = await findImage(client, name!);
    const view = flags.quiet ? undefined : new ProgressView(context.err, process.stderr);
    try {
      await client.images.push(image.name, image.name, {
        plainHttp: flags.plainHttp,
        hostsDir: flags.hostsDir,
        onProgress: view ? (step) => view.step(step) : undefined,
      });
    } finally {
      view?.close();
    }
    context.out(flags.quiet ? `${image.name}\n` : `Digest: ${image.target.digest}\n${image.name}\n`);
    return 0;
  },
});

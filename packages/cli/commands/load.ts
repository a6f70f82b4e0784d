/** berth load: images from an archive of `save`, `docker save` or any tool that writes OCI layouts. */
import { createReadStream, statSync } from "node:fs";
import { BerthError } from "@berth/base";
import { familiarName } from "@berth/oci";
import { command } from "../command.ts";
import { bool, text, usageError } from "../flags.ts";
import { PLATFORM_FLAGS, platformOptions } from "../image/platform-flags.ts";
import { ProgressView } from "../terminal/progress.ts";

export default command({
  usage: "",
  summary: "Read images from an archive",
  flags: {
    input: text("FILE", "Archive (default: standard input)", "i"),
    quiet: bool("No progress", "q"),
    ...PLATFORM_FLAGS,
  },
  args: [0, 0],
  async run(context, flags) {
    if (flags.input === undefined && process.stdin.isTTY)
      throw usageError("an archive is read from standard input, which is a terminal: name a file with -i");
    const archive = flags.input === undefined ? process.stdin : openArchive(flags.input);
    const platforms = platformOptions(flags);
    const client = await context.client();
    const view = flags.quiet ? undefined : new ProgressView(context.err, process.stderr);
    let images: Awaited<ReturnType<typeof client.images.load>>;
    try {
      images = await client.images.load(archive, {
        ...platforms,
        onProgress: view ? (step) => view.step(step) : undefined,
      });
    } finally {
      view?.close();
    }
    for (const image of images) {
      const { repository, tag } = familiarName(image.name);
      context.out(`Loaded image: ${repository}:${tag}\n`);
    }
    if (images.length === 0) context.err("The archive held nothing that was not there already.\n");
    return 0;
  },
});

function openArchive(path: string): AsyncIterable<Uint8Array> {
  try {
    if (statSync(path).isDirectory())
      throw new BerthError("invalid_argument", `${path} is a directory, expected an archive`, { path });
  } catch (error) {
    throw BerthError.from(error, "load");
  }
  return createReadStream(path, { highWaterMark: 256 * 1024 });
}

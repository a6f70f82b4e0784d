/** berth save: exports images to an archive. */

import { once } from "node:events";
import { createWriteStream, renameSync, rmSync } from "node:fs";
import { command } from "../command.ts";
import { text, usageError } from "../flags.ts";
import { findImage } from "../image/ensure.ts";
import { PLATFORM_FLAGS, platformOptions } from "../image/platform-flags.ts";

export default command({
  usage: "IMAGE [IMAGE...]",
  summary: "Write images to an archive",
  flags: { output: text("FILE", "Archive (default: standard output)", "o"), ...PLATFORM_FLAGS },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    if (flags.output === undefined && process.stdout.isTTY)
      throw usageError("an archive would be written to the terminal: name a file with -o, or redirect");
    const client = await context.client();
    const images = await Promise.all(names.map((name) => findImage(client, name)));
    const archive = client.images.save(
      images.map((image) => image.name),
      platformOptions(flags),
    );
    if (flags.output === undefined) {
      for await (const chunk of archive) await write(process.stdout, chunk);
      return 0;
    }
    // A partial archive must not look complete.
    const part = `${flags.output}.part-${process.pid}`;
    const file = createWriteStream(part, { flags: "wx" });
    try {
      for await (const chunk of archive) await write(file, chunk);
      file.end();
      await once(file, "finish");
      renameSync(part, flags.output);
    } catch (error) {
      file.destroy();
      rmSync(part, { force: true });
      throw error;
    }
    return 0;
  },
});

function write(to: NodeJS.WritableStream, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    to.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

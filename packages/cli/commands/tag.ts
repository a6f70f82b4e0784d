/** berth tag: a second name for an image. */
import { command } from "../command.ts";
import { findImage } from "../image/ensure.ts";
import { normalise } from "../reference.ts";

export default command({
  usage: "IMAGE NAME[:TAG]",
  summary: "Give an image a second name",
  flags: {},
  args: [2, 2],
  async run(context, _flags, [source, target]) {
    const name = normalise(target!);
    const client = await context.client();
    await client.images.tag((await findImage(client, source!)).name, name);
    return 0;
  },
});

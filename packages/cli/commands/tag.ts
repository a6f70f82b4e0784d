/** berth tag: an additional name for an image. */
import { normalizeReference } from "@berth/oci";
import { command } from "../command.ts";
import { findImage } from "../image/ensure.ts";

export default command({
  usage: "IMAGE NAME[:TAG]",
  summary: "Give an image a second name",
  flags: {},
  args: [2, 2],
  async run(context, _flags, [source, target]) {
    const name = normalizeReference(target!);
    const client = await context.client();
    await client.images.tag((await findImage(client, source!)).name, name);
    return 0;
  },
});

/** berth rmi: removes image names, and content that only they referred to. */
import { BerthError } from "@berth/base";
import { familiarName } from "@berth/oci";
import { command } from "../command.ts";
import { EXIT, printError } from "../errors.ts";
import { bool } from "../flags.ts";
import { findImage } from "../image/ensure.ts";

export default command({
  usage: "IMAGE [IMAGE...]",
  summary: "Remove images",
  flags: { force: bool("Even if containers were made from it", "f") },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    const client = await context.client();
    let code = 0;
    // Sequentially: removing two names of one image concurrently would report both wrong.
    for (const text of names)
      try {
        const image = await findImage(client, text);
        const [user] = await client.containers.list([`image==${JSON.stringify(image.name)}`]);
        if (user && !flags.force)
          throw new BerthError("failed_precondition", `image ${text} is in use by container ${user.name}`, {
            hint: `Remove the container first (berth rm ${user.name}), or the name anyway with --force.`,
          });
        await client.images.remove(image.name, { sync: true });
        const { repository, tag } = familiarName(image.name);
        context.out(`Untagged: ${repository}:${tag}\n`);
        const left = await client.images.list([`target.digest==${image.target.digest}`]);
        if (!left.some((other) => other.target.digest === image.target.digest))
          context.out(`Deleted: ${image.target.digest}\n`);
      } catch (error) {
        printError(error, context.debug, context.err);
        code = EXIT.failure;
      }
    return code;
  },
});

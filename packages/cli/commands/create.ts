/** berth create: creates a container without starting it. */
import { command } from "../command.ts";
import { createContainer } from "../container/create.ts";
import { CREATE_FLAGS } from "../container/create-flags.ts";

export default command({
  usage: "IMAGE [COMMAND] [ARG...]",
  summary: "Create a container without starting it",
  flags: CREATE_FLAGS,
  stopAtArgument: true,
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, [image, ...args]) {
    const container = await createContainer(context, flags, image!, args, flags.rm ? "true" : undefined);
    context.out(`${container.id}\n`);
    return 0;
  },
});

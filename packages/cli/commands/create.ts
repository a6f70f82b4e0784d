/** berth create: a container that is not started yet. */

import { LABEL } from "@berth/client";
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
    const labels: Record<string, string> = flags.rm ? { [LABEL.autoRemove]: "true" } : {};
    const { container } = await createContainer(context, flags, image!, args, labels);
    context.out(`${container.id}\n`);
    return 0;
  },
});

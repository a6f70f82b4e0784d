/** berth update: changes the restart policy of containers. */
import { LABEL, restartPolicyText } from "@berth/client";
import { command } from "../command.ts";
import { restartOf } from "../container/create-flags.ts";
import { forEachContainer } from "../container/each.ts";
import { text, usageError } from "../flags.ts";

export default command({
  usage: "CONTAINER [CONTAINER...]",
  summary: "Change the restart policy of containers",
  flags: { restart: text("POLICY", "no, always, unless-stopped or on-failure[:MAX]") },
  args: [1, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    if (flags.restart === undefined) throw usageError("you must provide one or more flags: --restart");
    const policy = restartOf(flags.restart);
    return forEachContainer(context, names, async (container) => {
      if (policy.name !== "no" && container.labels[LABEL.autoRemove] !== undefined)
        throw usageError("restart policy cannot be updated because AutoRemove is enabled for the container");
      await container.setLabel(LABEL.restartPolicy, policy.name === "no" ? "" : restartPolicyText(policy));
      return undefined;
    });
  },
});

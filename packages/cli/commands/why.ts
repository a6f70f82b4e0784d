/** berth why: the chain of references that keeps an object from being collected. */
import type { ObjectName } from "@berth/client";
import { command } from "../command.ts";
import { bool } from "../flags.ts";

export default command({
  usage: "DIGEST|SNAPSHOT|IMAGE",
  summary: "Show what keeps a blob, a snapshot or an image from being removed",
  flags: { json: bool("As JSON") },
  args: [1, 1],
  async run(context, flags, [target]) {
    const client = await context.client();
    const explanations = await client.garbage.explain(target!);
    if (flags.json) {
      context.out(`${JSON.stringify(explanations)}\n`);
      return 0;
    }
    for (const { object, chain } of explanations) {
      const last = chain.length - 1;
      if (last < 0) context.out(`${nameOf(object)}: nothing keeps it; the next collection removes it\n`);
      else if (last === 0) context.out(`${nameOf(object)}: kept for itself\n`);
      for (const [i, step] of chain.entries())
        if (last > 0) context.out(`${"  ".repeat(i)}${nameOf(step)}${i < last ? " keeps" : ""}\n`);
    }
    return 0;
  },
});

function nameOf({ kind, name, snapshotter }: ObjectName): string {
  return snapshotter === "" ? `${kind} ${name}` : `${kind} ${name} (${snapshotter})`;
}

/** berth trace: the timed stages of a container's last start or restart, or of its last operations. */
import { command } from "../command.ts";
import { lastStart } from "../container/last-start.ts";
import { bool, text, wholeNumber } from "../flags.ts";
import { drawOperation } from "../format/waterfall.ts";

/** The daemon's own limit on recorded operations. */
const KEPT = 400;

export default command({
  usage: "CONTAINER",
  summary: "Draw the timed stages of a container's last start or restart",
  flags: {
    last: text("NUMBER", "The last NUMBER operations of any kind instead", "n"),
    json: bool("As JSON"),
  },
  args: [1, 1],
  async run(context, flags, [name]) {
    const client = await context.client();
    const { Operations } = await import("@berth/client");
    // Operations of a removed container can still be found by its full id.
    const id = /^[0-9a-f]{64}$/.test(name!) ? name! : (await client.containers.find(name!)).id;
    const limit = flags.last === undefined ? KEPT : wholeNumber("--last", flags.last, 1);
    const all = (await new Operations(client.connection).trace(id, limit)).reverse();
    const started = flags.last === undefined ? lastStart(all) : all;
    // A container that was never started still has its failed attempts.
    const operations = started.length > 0 ? started : all.slice(-10);
    if (flags.json) {
      context.out(`${JSON.stringify(operations, undefined, 2)}\n`);
      return 0;
    }
    if (operations.length === 0) context.err("The daemon remembers no operation of this container.\n");
    for (const operation of operations) {
      const at = operation.root.startedAt?.toISOString() ?? "";
      context.out(`${operation.root.name}  ${at}  ${operation.elapsedMs.toFixed(2)} ms\n`);
      for (const line of drawOperation(operation, process.stdout.columns ?? 100))
        context.out(`${line.trimEnd()}\n`);
      context.out("\n");
    }
    return 0;
  },
});

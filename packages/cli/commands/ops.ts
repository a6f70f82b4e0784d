/** berth ops: what the daemon is working on, and for how long. */
import type { OperationStage } from "@berth/client";
import { command } from "../command.ts";
import { bool } from "../flags.ts";
import { tableOf } from "../format/rows.ts";

export default command({
  usage: "",
  summary: "List what the daemon is working on",
  flags: { json: bool("As JSON") },
  args: [0, 0],
  async run(context, flags) {
    const client = await context.client();
    const { Operations } = await import("@berth/client");
    const operations = await new Operations(client.connection).list();
    if (flags.json) {
      context.out(`${JSON.stringify(operations, undefined, 2)}\n`);
      return 0;
    }
    const rows = operations.map(({ namespace, elapsedMs, root }) => [
      namespace,
      root.name,
      `${elapsedMs.toFixed(0)} ms`,
      current(root).join(" > "),
      Object.entries(root.facts)
        .map(([key, value]) => `${key}=${value}`)
        .join(" "),
    ]);
    context.out(tableOf([["NAMESPACE", "OPERATION", "AGE", "STAGE", "FACTS"], ...rows]));
    return 0;
  },
});

// The stages that are in flight, outermost first.
function current(stage: OperationStage): string[] {
  const inner = stage.stages.find((each) => each.inFlight);
  return inner ? [inner.name, ...current(inner)] : [];
}

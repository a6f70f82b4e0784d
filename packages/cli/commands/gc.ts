/** berth gc: collects garbage now, or shows what would be collected. */
import { command } from "../command.ts";
import { bool } from "../flags.ts";

export default command({
  usage: "",
  summary: "Remove blobs, snapshots and leases that nothing keeps",
  flags: { dryRun: bool("Only show what would be removed"), json: bool("As JSON") },
  args: [0, 0],
  async run(context, flags) {
    const client = await context.client();
    const objects = await client.garbage.collect({ dryRun: flags.dryRun });
    if (flags.json) context.out(`${JSON.stringify(objects)}\n`);
    else for (const { kind, name } of objects) context.out(`${kind} ${name}\n`);
    return 0;
  },
});

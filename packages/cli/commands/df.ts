/** berth df: who owns how much of the disk. */
import type { Amount } from "@berth/client";
import { command } from "../command.ts";
import { bool } from "../flags.ts";
import { tableOf } from "../format/rows.ts";
import { formatSize } from "../units.ts";

export default command({
  usage: "",
  summary: "Show who owns how much of the disk",
  flags: { json: bool("As JSON") },
  args: [0, 0],
  async run(context, flags) {
    const client = await context.client();
    const usage = await client.garbage.usage();
    if (flags.json) {
      context.out(`${JSON.stringify(usage)}\n`);
      return 0;
    }
    const rows = usage.owners.map(({ object: { kind, name }, own, shared }) => [
      `${kind} ${name}`,
      formatSize(sum(own)),
      formatSize(sum(shared)),
      formatSize(own.content),
      formatSize(own.snapshots),
      formatSize(own.logs),
    ]);
    const alone = (name: string, amount: Amount) => [
      name,
      formatSize(sum(amount)),
      "",
      formatSize(amount.content),
      formatSize(amount.snapshots),
      formatSize(amount.logs),
    ];
    const header = ["OWNER", "OWN", "SHARED", "BLOBS", "FILES", "LOGS"];
    context.out(tableOf([header, ...rows, alone("nobody", usage.unowned), alone("total", usage.total)]));
    return 0;
  },
});

const sum = ({ content, snapshots, logs }: Amount) => content + snapshots + logs;

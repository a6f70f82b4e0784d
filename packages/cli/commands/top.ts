/** berth top: the processes of a container, with their host pids. */
import { command } from "../command.ts";
import { runningTask } from "../container/each.ts";
import { processRow } from "../container/process-row.ts";
import { tableOf } from "../format/rows.ts";

export default command({
  usage: "CONTAINER",
  summary: "List the processes of a container",
  flags: {},
  args: [1, 1],
  async run(context, _flags, [name]) {
    const client = await context.client();
    const task = await runningTask(await client.containers.find(name!));
    const pids = (await task.pids()).sort((a, b) => a - b);
    const rows = pids.map(processRow).filter((row) => row !== undefined);
    context.out(tableOf([["UID", "PID", "PPID", "STATE", "STARTED", "TIME", "COMMAND"], ...rows]));
    return 0;
  },
});

import { containerFiles, isAlive, readRecord, start } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { managerSocket, openNotify, passOn } from "../notify.ts";

export const command = defineCommand({
  usage: "start ID",
  help: "execute the program of a created container",
  flags: {},
  args: [1, 1],
  async run({ runtime }, _, [id]) {
    const { sys, root } = runtime;
    const record = readRecord(sys, root, id!);
    const manager = managerSocket(sys);
    const listens = manager !== undefined && sys.stat(containerFiles(root, id!).notify) !== undefined;
    const notify = listens ? openNotify(sys, root, id!) : undefined;
    await start(runtime, id!);
    if (manager !== undefined && notify !== undefined)
      await passOn(sys, notify, manager, record.pid, () => !isAlive(sys, record));
    return 0;
  },
});

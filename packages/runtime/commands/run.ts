import { create, readBundle } from "../container/create.ts";
import { remove } from "../container/delete.ts";
import { runPoststart } from "../container/hooks.ts";
import { checkId } from "../state/record.ts";
import { defineCommand } from "./command.ts";
import { createFlags } from "./create.ts";
import { absolute, launchSettings, waitInForeground, writePidFile } from "./launching.ts";

export const command = defineCommand({
  usage: "run [options] ID",
  help: "create a container, start it, and in the foreground wait for its end and delete it",
  flags: {
    ...createFlags,
    detach: { type: "bool", short: "d", help: "leave the container running" },
    keep: { type: "bool", help: "do not delete the container when it has ended" },
    "no-subreaper": { type: "bool", help: "do not become the reaper of the container's orphans" },
  },
  args: [1, 1],
  async run({ runtime }, flags, [id]) {
    const { sys } = runtime;
    const detach = flags.detach ?? false;
    checkId(id!);
    const bundle = sys.realpath(absolute(sys, flags.bundle ?? "."));
    const spec = readBundle(runtime, bundle);
    const settings = launchSettings(sys, flags, spec.process, detach);
    if (!detach && !flags["no-subreaper"]) sys.becomeSubreaper();
    let launched: Awaited<ReturnType<typeof create>>;
    try {
      launched = await create(runtime, {
        ...settings,
        id: id!,
        bundle,
        spec,
        rootMounts: [],
        gate: false,
        wait: !detach,
        noPivot: flags["no-pivot"] ?? false,
      });
    } finally {
      settings.close();
    }
    try {
      writePidFile(sys, flags["pid-file"], launched.pid);
      await runPoststart(runtime, spec, launched.record);
      const code = detach ? await launched.exit() : await waitInForeground(sys, launched);
      if (!detach && !flags.keep) await remove(runtime, id!, true);
      return code;
    } catch (error) {
      await remove(runtime, id!, true);
      throw error;
    }
  },
});

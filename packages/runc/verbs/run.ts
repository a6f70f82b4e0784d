import { checkId, create, isAlive, readBundle, remove, runPoststart } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import {
  absolute,
  additionsOf,
  forwardSignals,
  launchSettings,
  listenFds,
  waitInForeground,
  writePidFile,
} from "../launching.ts";
import { managerSocket, openNotify, passOn } from "../notify.ts";
import { createFlags } from "./create.ts";

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
    const settings = launchSettings(sys, flags, spec.process, detach, listenFds(sys));
    if (!detach && !flags["no-subreaper"]) sys.becomeSubreaper();
    const manager = managerSocket(sys);
    const signals = detach ? undefined : forwardSignals(sys);
    let notify: number | undefined;
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
        additions: additionsOf(sys, runtime.root, id!),
        ...(manager === undefined
          ? {}
          : { beforeLaunch: () => (notify = openNotify(sys, runtime.root, id!)) }),
      });
    } finally {
      settings.close();
    }
    try {
      writePidFile(sys, flags["pid-file"], launched.pid);
      await runPoststart(runtime, spec, launched.record);
      const ended = () => !isAlive(sys, launched.record);
      const pid = detach ? launched.pid : sys.pid();
      const passedOn =
        manager === undefined || notify === undefined ? undefined : passOn(sys, notify, manager, pid, ended);
      const code = signals === undefined ? await launched.exit() : await waitInForeground(launched, signals);
      await passedOn;
      if (!detach && !flags.keep) await remove(runtime, id!, true);
      return code;
    } catch (error) {
      await remove(runtime, id!, true);
      throw error;
    }
  },
});

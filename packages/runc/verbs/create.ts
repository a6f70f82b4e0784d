import { checkId, create, readBundle } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { absolute, additionsOf, launchFlags, launchSettings, listenFds, writePidFile } from "../launching.ts";

export const createFlags = {
  ...launchFlags,
  bundle: {
    type: "string",
    short: "b",
    help: "folder with config.json and the rootfs (default: the working folder)",
  },
  "no-pivot": { type: "bool", help: "do not use pivot_root" },
} as const;

export const command = defineCommand({
  usage: "create [options] ID",
  help: "create a container, up to the point where its program would start",
  flags: createFlags,
  args: [1, 1],
  async run({ runtime }, flags, [id]) {
    const { sys } = runtime;
    checkId(id!);
    const bundle = sys.realpath(absolute(sys, flags.bundle ?? "."));
    const spec = readBundle(runtime, bundle);
    const settings = launchSettings(sys, flags, spec.process, true, listenFds(sys));
    try {
      const { pid } = await create(runtime, {
        ...settings,
        id: id!,
        bundle,
        spec,
        rootMounts: [],
        gate: true,
        wait: false,
        noPivot: flags["no-pivot"] ?? false,
        additions: additionsOf(sys, runtime.root, id!),
      });
      try {
        writePidFile(sys, flags["pid-file"], pid);
      } catch (error) {
        // A failed create must leave no container.
        const { remove } = await import("@berth/runtime");
        await remove(runtime, id!, true);
        throw error;
      }
    } finally {
      settings.close();
    }
    return 0;
  },
});

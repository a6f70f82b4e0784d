import { BerthError } from "@berth/base";
import { checkId, checkTerminal, readBundle, remove } from "@berth/runtime";
import { relayTerminal, restore, waitRestored } from "@berth/runtime/checkpoint";
import { defineCommand } from "../command.ts";
import { criuFlags, criuSettings } from "../criu-flags.ts";
import { absolute, forwardSignals, launchSettings, writePidFile } from "../launching.ts";

export const command = defineCommand({
  usage: "restore [options] ID",
  help: "make a container from a bundle and the folder that checkpoint wrote",
  flags: {
    ...criuFlags,
    "console-socket": { type: "string", help: "path of a unix socket that receives the terminal's master" },
    bundle: {
      type: "string",
      short: "b",
      help: "folder with config.json and the rootfs (default: the working folder)",
    },
    detach: { type: "bool", short: "d", help: "leave the container running" },
    "pid-file": { type: "string", help: "file to write the process's pid to" },
    "no-subreaper": { type: "bool", help: "do not become the reaper of the container's orphans" },
    "no-pivot": { type: "bool", help: "not supported: criu always uses pivot_root" },
    "tcp-close": { type: "bool", help: "restore open TCP connections as closed ones" },
    "lsm-profile": { type: "string", help: "TYPE:NAME of the security profile to restore with" },
    "lsm-mount-context": { type: "string", help: "security context of the mounts to restore with" },
  },
  args: [1, 1],
  async run({ runtime }, flags, [id]) {
    const { sys } = runtime;
    checkId(id!);
    if (flags["no-pivot"])
      throw new BerthError(
        "unimplemented",
        "--no-pivot: criu changes the root with pivot_root, and has no other way",
        {
          stage: "flags",
        },
      );
    const detach = flags.detach ?? false;
    const bundle = sys.realpath(absolute(sys, flags.bundle ?? "."));
    const spec = readBundle(runtime, bundle);
    const settings = launchSettings(sys, flags, spec.process, detach);
    const process = spec.process ?? { user: { uid: 0, gid: 0 }, cwd: "/" };
    checkTerminal(process, settings.attachment);
    const { attachment, inherited } = settings;
    let relay: ReturnType<typeof relayTerminal> | undefined;
    // CRIU and what it restores become our children when berth-init leaves.
    sys.becomeSubreaper();
    try {
      const { pid } = await restore(runtime, {
        ...criuSettings(sys, flags),
        id: id!,
        bundle,
        spec,
        rootMounts: [],
        stdio: [0, 1, 2],
        tcpClose: flags["tcp-close"] ?? false,
        lsmProfile: flags["lsm-profile"] || undefined,
        lsmMountContext: flags["lsm-mount-context"] || undefined,
        onTerminal(master) {
          if (attachment.kind === "console-socket")
            sys.sendDescriptor(inherited[attachment.slot]!, new TextEncoder().encode("/dev/ptmx"), master);
          if (attachment.kind !== "foreground") return { keep: false };
          relay = relayTerminal(sys, master);
          return { keep: true };
        },
        // CRIU restored the old size; set the current one.
        onRestored: () => relay?.resize(),
      });
      if (flags["no-subreaper"]) sys.becomeSubreaper(false);
      try {
        writePidFile(sys, flags["pid-file"], pid);
        if (detach) return 0;
        forwardSignals(sys).to(pid);
        const code = await waitRestored(sys, pid);
        await relay?.done;
        await remove(runtime, id!, true);
        return code;
      } catch (error) {
        await remove(runtime, id!, true);
        throw error;
      }
    } finally {
      relay?.close();
      settings.close();
    }
  },
});

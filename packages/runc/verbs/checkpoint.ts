import { checkpoint, pageServer } from "@berth/runtime/checkpoint";
import { defineCommand } from "../command.ts";
import { criuFlags, criuSettings } from "../criu-flags.ts";

export const command = defineCommand({
  usage: "checkpoint [options] ID",
  help: "write a running container's processes into a folder, with CRIU, and delete it",
  flags: {
    ...criuFlags,
    "parent-path": { type: "string", help: "earlier image (of --pre-dump), relative to --image-path" },
    "leave-running": { type: "bool", help: "let the container run on" },
    "tcp-skip-in-flight": { type: "bool", help: "leave out TCP connections that are not yet established" },
    "link-remap": { type: "bool", help: "link unlinked files back while they are dumped" },
    "pre-dump": { type: "bool", help: "write memory only, and let the container run on" },
    "page-server": { type: "string", help: "ADDRESS:PORT that memory is sent to" },
    "status-fd": { type: "number", help: "descriptor that gets a NUL byte once pages can be asked for" },
  },
  args: [1, 1],
  async run({ runtime }, flags, [id]) {
    const statusFd = flags["status-fd"] ?? -1;
    await checkpoint(runtime, id!, {
      ...criuSettings(runtime.sys, flags),
      parentPath: flags["parent-path"] || undefined,
      leaveRunning: flags["leave-running"] ?? false,
      tcpSkipInFlight: flags["tcp-skip-in-flight"] ?? false,
      linkRemap: flags["link-remap"] ?? false,
      preDump: flags["pre-dump"] ?? false,
      pageServer: pageServer(flags["page-server"]),
      statusFd: statusFd < 0 ? undefined : statusFd,
    });
    return 0;
  },
});

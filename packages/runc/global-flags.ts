/** The flags before the verb, and those of other runtimes that are refused. */
import { BerthError } from "@berth/base";
import { ownerOf } from "@berth/runtime";
import { commandSys } from "@berth/sys";
import type { Flags, FlagTable } from "./flags.ts";

export const globalFlags = {
  debug: { type: "bool", help: "log more" },
  log: { type: "string", help: "file to write the log to (default: standard error)" },
  "log-format": { type: "string", help: "text (default) or json" },
  "log-level": { type: "string", help: "debug, info (default), warning or error" },
  root: { type: "string", help: "folder of the containers' records (default: /run/berth-runc)" },
  rootless: { type: "string", help: "true, false or auto (default): do without the rights of root" },
  "systemd-cgroup": { type: "bool", help: "use the systemd cgroup driver" },
  "cgroup-manager": { type: "string", help: "cgroupfs (default), systemd or disabled" },
  version: { type: "bool", short: "v", help: "print the version" },
  help: { type: "bool", short: "h", help: "print this" },
} as const satisfies FlagTable;

export type GlobalFlags = Flags<typeof globalFlags>;

export function cgroupManager(flags: GlobalFlags): string {
  return flags["cgroup-manager"] ?? (flags["systemd-cgroup"] ? "systemd" : "cgroupfs");
}

/** Refuses global flags of other runtimes that this one does not support. */
export function refuseUnsupported(flags: GlobalFlags): void {
  const manager = cgroupManager(flags);
  if (!["cgroupfs", "systemd", "disabled"].includes(manager))
    throw new BerthError("unimplemented", `the cgroup manager ${JSON.stringify(manager)} is not supported`, {
      stage: "flags",
      hint: "expected cgroupfs, systemd or disabled",
    });
  // A user's scope takes processes from the user's manager only, and a container's process enters its cgroup by
  // itself.
  if (manager === "systemd" && commandSys.uid() !== 0)
    throw new BerthError("unimplemented", "the systemd cgroup driver of a user's manager is not supported", {
      stage: "flags",
      hint: "leave --systemd-cgroup out to use cgroupfs, or run as root",
    });
  const { rootless } = flags;
  if (rootless === undefined || rootless === "false" || rootless === "auto") return;
  // With root's privileges they are used: "true" could only be honoured by dropping them.
  if (rootless === "true" && ownerOf(commandSys).confined) return;
  throw new BerthError(
    "unimplemented",
    `--rootless: found ${JSON.stringify(rootless)}, expected ${rootless === "true" ? "false or auto, as the caller is root" : "true, false or auto"}`,
    { stage: "flags", hint: "run it as the ordinary user whose container it is" },
  );
}

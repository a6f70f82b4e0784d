/** The runtime: the context of every verb. */
import type { Sys } from "@berth/sys";
import { type CgroupLayout, parseLayout, readLayout } from "../cgroups/layout.ts";

/** A machine, and the directory of its container records. */
export interface Runtime {
  readonly sys: Sys;
  /** Absolute path of the records' directory, mode 0700: "/run/berth-runc". */
  readonly root: string;
  /** Whether to use the systemd cgroup driver for new containers. */
  readonly systemd: boolean;
  /** Whether to create new containers without a cgroup. */
  readonly cgroupless: boolean;
  /** Whether runc's commands may be used on the directory of the records. */
  readonly shared: boolean;
  /** The host's cgroup file systems, read once. */
  layout(): CgroupLayout;
}

/** Opens a runtime; nothing is read or created yet. */
export function openRuntime(
  sys: Sys,
  root: string,
  options: { systemd?: boolean; cgroupless?: boolean; shared?: boolean } = {},
): Runtime {
  let layout: CgroupLayout | undefined;
  return {
    sys,
    root,
    systemd: options.systemd ?? false,
    cgroupless: options.cgroupless ?? false,
    shared: options.shared ?? false,
    layout: () => {
      layout ??= options.cgroupless ? parseLayout(sys.readText("/proc/self/mountinfo")) : readLayout(sys);
      return layout;
    },
  };
}

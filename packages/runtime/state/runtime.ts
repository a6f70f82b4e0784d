/** What every verb of the runtime works with. */
import type { Sys } from "@berth/sys";
import { type CgroupLayout, parseLayout, readLayout } from "../cgroups/layout.ts";

/** A runtime: a machine, and the folder below which containers are recorded. */
export interface Runtime {
  readonly sys: Sys;
  /** Absolute path, mode 0700: "/run/berth-runc". */
  readonly root: string;
  /** New containers get a unit of systemd's, which makes their cgroup. */
  readonly systemd: boolean;
  /** New containers get no cgroup at all. */
  readonly cgroupless: boolean;
  /** The host's cgroup file systems, read once. */
  layout(): CgroupLayout;
}

/** A runtime whose containers are recorded below `root`. */
export function openRuntime(
  sys: Sys,
  root: string,
  options: { systemd?: boolean; cgroupless?: boolean } = {},
): Runtime {
  let layout: CgroupLayout | undefined;
  return {
    sys,
    root,
    systemd: options.systemd ?? false,
    cgroupless: options.cgroupless ?? false,
    layout: () => {
      layout ??= options.cgroupless ? parseLayout(sys.readText("/proc/self/mountinfo")) : readLayout(sys);
      return layout;
    },
  };
}

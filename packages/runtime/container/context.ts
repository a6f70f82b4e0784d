/** What every verb of the runtime works with. */
import type { Sys } from "@berth/sys";
import { type CgroupLayout, readLayout } from "../cgroups/layout.ts";

/** A runtime: a machine, and the folder below which containers are recorded. */
export interface Runtime {
  readonly sys: Sys;
  /** Absolute path, mode 0700: "/run/berth-runc". */
  readonly root: string;
  /** The host's cgroup file systems, read once. */
  layout(): CgroupLayout;
}

/** A runtime whose containers are recorded below `root`. */
export function openRuntime(sys: Sys, root: string): Runtime {
  let layout: CgroupLayout | undefined;
  return {
    sys,
    root,
    layout: () => {
      layout ??= readLayout(sys);
      return layout;
    },
  };
}

/**
 * Compiles plans that change a running container's mounts. A process enters the container's namespaces for it: what is
 * bound was taken in the host's, and where it goes is found below the root of the container's mount namespace, whatever
 * its processes have changed their own root to. Pure, as compile.ts.
 */
import type { Mount, Namespace } from "@berth/oci";
import { linux } from "@berth/sys";
import type { CgroupLayout } from "../cgroups/layout.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";
import { PlanBuilder } from "./builder.ts";
import { type FirstProcess, planJoinContainer } from "./join-container.ts";
import { planMounts } from "./mounts.ts";
import type { Plan } from "./operations.ts";
import { addTarget, NOTHING } from "./targets.ts";

/** The container and what is known of it. */
export interface MountsInput {
  init: FirstProcess;
  /** Namespace types that differ from the host's. */
  namespaces: readonly Namespace["type"][];
  /** Folder that relative sources start from. */
  bundle: string;
  layout: CgroupLayout;
  cgroup: CgroupPaths;
  /** SELinux label of file systems. */
  label: string | undefined;
}

/** File systems that show the namespace they were mounted in. */
const SHOWS: Readonly<Record<string, Namespace["type"]>> = {
  proc: "pid",
  sysfs: "network",
  mqueue: "ipc",
  cgroup: "cgroup",
  cgroup2: "cgroup",
};

/** Begins a plan whose new process is in `types` of the container's namespaces; the slot of its root. */
function enter(b: PlanBuilder, input: MountsInput, types: readonly Namespace["type"][]) {
  const joined = planJoinContainer(b, input.init, types, 0);
  if (joined.has("user")) {
    b.add("child", "become root of the user namespace", "setgid", [0]);
    b.add("child", "become root of the user namespace", "setuid", [0]);
  }
  const root = b.slot();
  b.stage("mount");
  b.add("child", "open the container's /", "open", [root, "/", linux.O_PATH | linux.O_DIRECTORY, 0]);
  return { root, joined };
}

function finish(b: PlanBuilder): Plan {
  b.add("child", "say that all is done", "ready", []);
  b.parent = "wait";
  return b.build();
}

/** The plan that adds mounts, in their order. */
export function compileAddMounts(input: MountsInput, mounts: readonly Mount[]): Plan {
  const b = new PlanBuilder();
  const wanted = new Set<Namespace["type"]>(["mount", "user"]);
  for (const { type } of mounts) if (type !== undefined && type in SHOWS) wanted.add(SHOWS[type]!);
  const types = input.namespaces.filter((type) => wanted.has(type));
  const { root, joined } = enter(b, input, types);
  planMounts(b, mounts, {
    root,
    rootfs: undefined,
    bundle: input.bundle,
    layout: input.layout,
    cgroup: input.cgroup,
    fromHost: true,
    restrictionsStay: joined.has("user"),
    cgroupNamespace: types.includes("cgroup"),
    mappings: { users: undefined, groups: undefined, joined: joined.get("user") },
    label: input.label,
  });
  return finish(b);
}

/**
 * The plan that removes what is mounted on the destinations, the last first. No link is followed: a container that put one
 * there could have its masks removed.
 */
export function compileRemoveMounts(input: MountsInput, mounts: readonly Mount[]): Plan {
  const b = new PlanBuilder();
  const proc = b.slot();
  b.stage("mount");
  b.add("setup", "open the host's /proc", "open", [proc, "/proc", linux.O_PATH | linux.O_DIRECTORY, 0]);
  const { root } = enter(b, input, ["mount"]);
  for (const { destination } of [...mounts].reverse()) {
    const slot = b.childSlot();
    const links = linux.RESOLVE_NO_SYMLINKS;
    addTarget(b, `find ${destination}`, slot, [root, destination], NOTHING, links);
    b.add("child", `unmount ${destination}`, "unmount", [proc, slot]);
    b.release(slot);
  }
  return finish(b);
}

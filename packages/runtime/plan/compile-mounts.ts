/**
 * Compiles plans that change a running container's mounts. The plan's new process joins the container's namespaces. Sources
 * of bind mounts are opened on the host before. Destinations are resolved below the root of the container's mount
 * namespace, even if its processes have changed their own root. Pure.
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

/** The container whose mounts are changed. */
export interface MountsInput {
  init: FirstProcess;
  /** Namespace types that differ from the host's. */
  namespaces: readonly Namespace["type"][];
  /** Bundle directory, which relative sources are resolved against. */
  bundle: string;
  layout: CgroupLayout;
  cgroup: CgroupPaths;
  /** SELinux label of file systems. */
  label: string | undefined;
}

/** File systems whose content depends on the namespace of this type that they are mounted in. */
const BOUND_TO: Readonly<Record<string, Namespace["type"]>> = {
  proc: "pid",
  sysfs: "network",
  mqueue: "ipc",
  cgroup: "cgroup",
  cgroup2: "cgroup",
};

/** Adds the joining of namespaces of these types; returns their slots, and the slot of the container's root. */
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

/** Compiles the plan that adds mounts, in order. */
export function compileAddMounts(input: MountsInput, mounts: readonly Mount[]): Plan {
  const b = new PlanBuilder();
  const needed = new Set<Namespace["type"]>(["mount", "user"]);
  for (const { type } of mounts) if (type !== undefined && type in BOUND_TO) needed.add(BOUND_TO[type]!);
  const types = input.namespaces.filter((type) => needed.has(type));
  const { root, joined } = enter(b, input, types);
  planMounts(b, mounts, {
    root,
    rootfs: undefined,
    bundle: input.bundle,
    layout: input.layout,
    cgroup: input.cgroup,
    fromHost: true,
    keepRestrictions: joined.has("user"),
    cgroupNamespace: types.includes("cgroup"),
    mappings: { users: undefined, groups: undefined, joined: joined.get("user") },
    label: input.label,
  });
  return finish(b);
}

/**
 * Compiles the plan that unmounts the destinations, in reverse order. Symlinks are not followed: the container could use one
 * to have its masks unmounted.
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

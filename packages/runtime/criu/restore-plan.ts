/**
 * The plan of a restore: berth-init makes the container's cgroup and a mount namespace for CRIU alone, with the root file
 * system in it, and becomes `criu swrk` there. Nothing of it is in the host's mount table. Pure.
 */
import type { Spec } from "@berth/oci";
import { linux } from "@berth/sys";
import { PlanBuilder } from "../plan/builder.ts";
import { type CgroupPlan, planCgroup, planCgroupJoin } from "../plan/cgroup.ts";
import { CLONE_FLAGS, type Plan } from "../plan/operations.ts";
import { AT_FDCWD, AT_RECURSIVE, OPEN_TREE_CLONE, planRoot, type RootMount } from "../plan/rootfs.ts";
import { type KeeperPlan, planKeeper, planOomWatch, planStdio } from "../plan/streams.ts";
import { addTarget, FOLDER } from "../plan/targets.ts";
import type { HostMount } from "./external.ts";

/** What the plan depends on. */
export interface RestoreInput {
  spec: Spec;
  rootfs: string;
  rootMounts: readonly RootMount[];
  mounts: readonly HostMount[];
  cgroup: CgroupPlan;
  kernelRelease: string;
  /** Absolute path of criu, and its PATH. */
  criu: string;
  searchPath: string;
  /** Inherited slots that become CRIU's descriptors 3 (its socket), 4, and so on. */
  handed: number;
  /** Who stays as CRIU's parent. */
  keeper?: KeeperPlan;
  /** Inherited slots behind those: streams of the keeper's. */
  streams?: number;
}

/** A mount point that is missing is made, unless it is on a file system that CRIU fills with what it dumped. */
function isOnDumped(path: string, dumped: readonly string[]): boolean {
  return dumped.some((folder) => path.startsWith(`${folder}/`));
}

function planMountPoints(b: PlanBuilder, input: RestoreInput, root: number): void {
  b.stage("mount");
  const bound = new Map(input.mounts.map((m) => [m.destination, m]));
  const dumped: string[] = [];
  for (const mount of input.spec.mounts ?? []) {
    const path = mount.destination.replace(/(.)\/+$/, "$1");
    if (isOnDumped(path, dumped)) continue;
    const host = bound.get(path);
    const place = b.childSlot();
    if (host === undefined) {
      addTarget(b, `find or make ${path}`, place, [root, path], FOLDER);
      dumped.push(path);
    } else {
      // Mounted for the time being, as the place of a later mount may lie in it.
      const tree = b.childSlot();
      const deep = host.deep ? AT_RECURSIVE : 0;
      b.add("child", `take ${host.source}`, "open_tree", [
        tree,
        AT_FDCWD,
        host.source,
        OPEN_TREE_CLONE | deep,
      ]);
      addTarget(b, `find or make ${path}`, place, [root, path], tree);
      b.add("child", `mount ${host.source} on ${path}`, "move_mount", [tree, place]);
      b.release(tree);
    }
    b.release(place);
  }
}

/** Compiles the plan. */
export function compileRestore(input: RestoreInput): Plan {
  const b = new PlanBuilder(input.handed + (input.streams ?? 0));
  b.cloneFlags = CLONE_FLAGS.mount;
  planCgroup(b, input.cgroup, input.spec.linux?.resources ?? {});
  planCgroupJoin(b, input.cgroup.paths);
  if (input.keeper !== undefined) planOomWatch(b, input.cgroup.paths);
  const stdio = input.keeper && planKeeper(b, input.keeper, false);
  const scratch = planRoot(b, {
    path: input.rootfs,
    mounts: input.rootMounts,
    propagation: input.spec.linux?.rootfsPropagation,
    kernelRelease: input.kernelRelease,
    fromHost: false,
    mountNamespace: true,
  });
  const root = b.slot();
  b.add("child", "copy the root file system for criu", "open_tree", [
    root,
    scratch,
    "",
    OPEN_TREE_CLONE | AT_RECURSIVE | linux.AT_EMPTY_PATH,
  ]);
  planMountPoints(b, input, scratch);
  b.stage("rootfs");
  const place = b.slot();
  b.add("child", `open ${input.rootfs}`, "open", [place, input.rootfs, linux.O_PATH, 0]);
  b.add("child", `mount the copy on ${input.rootfs}`, "move_mount", [root, place]);
  if (stdio !== undefined) planStdio(b, stdio);
  b.stage("exec");
  for (let slot = 0; slot < input.handed; slot++)
    b.add("child", `hand over descriptor ${3 + slot}`, "dup", [slot, 3 + slot]);
  b.add("child", "close all other descriptors at exec", "close_range", [3 + input.handed]);
  b.add("child", `find ${input.criu}`, "lookup", [input.criu, input.searchPath]);
  b.add("child", "say that all is set up", "ready", []);
  b.add("child", "execute criu", "exec", [3, "criu", "swrk", "3", `PATH=${input.searchPath}`]);
  return b.build();
}

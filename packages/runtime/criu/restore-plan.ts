/**
 * The plan of a restore. berth-init creates the container's cgroup, and a mount namespace for CRIU with the root file
 * system, and executes `criu swrk` there. The host's mount table is not changed. Pure.
 */
import type { Spec } from "@berth/oci";
import { linux } from "@berth/sys";
import { PlanBuilder } from "../plan/builder.ts";
import { type CgroupPlan, planCgroup, planCgroupJoin } from "../plan/cgroup.ts";
import { AT_FDCWD, AT_RECURSIVE, OPEN_TREE_CLONE } from "../plan/mount-api.ts";
import { CLONE_FLAGS, type Plan } from "../plan/operations.ts";
import { planRoot, type RootMount } from "../plan/rootfs.ts";
import { type KeeperPlan, planKeeper, planOomWatch, planStdio } from "../plan/streams.ts";
import { addTarget, FOLDER } from "../plan/targets.ts";
import type { HostMount } from "./external.ts";

/** Everything that the plan of a restore depends on. */
export interface RestoreInput {
  spec: Spec;
  rootfs: string;
  rootMounts: readonly RootMount[];
  mounts: readonly HostMount[];
  cgroup: CgroupPlan;
  kernelRelease: string;
  /** Absolute path of criu. */
  criu: string;
  /** PATH for criu. */
  searchPath: string;
  /** Inherited slots that become CRIU's descriptors 3 (its socket), 4, and so on. */
  passed: number;
  /** A keeper that stays as CRIU's parent. */
  keeper?: KeeperPlan;
  /** Number of inherited slots after those, for the keeper's streams. */
  streams?: number;
}

/** Whether a mount point is on a file system whose content CRIU restores, so that it need not be created. */
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
    const target = b.childSlot();
    if (host === undefined) {
      addTarget(b, `find or make ${path}`, target, [root, path], FOLDER);
      dumped.push(path);
    } else {
      // Mounted temporarily: a later mount point may be inside.
      const tree = b.childSlot();
      const recursive = host.recursive ? AT_RECURSIVE : 0;
      b.add("child", `take ${host.source}`, "open_tree", [
        tree,
        AT_FDCWD,
        host.source,
        OPEN_TREE_CLONE | recursive,
      ]);
      addTarget(b, `find or make ${path}`, target, [root, path], tree);
      b.add("child", `mount ${host.source} on ${path}`, "move_mount", [tree, target]);
      b.release(tree);
    }
    b.release(target);
  }
}

/** Compiles the plan of a restore. */
export function compileRestore(input: RestoreInput): Plan {
  const b = new PlanBuilder(input.passed + (input.streams ?? 0));
  b.cloneFlags = CLONE_FLAGS.mount;
  planCgroup(b, input.cgroup, input.spec.linux?.resources ?? {});
  planCgroupJoin(b, input.cgroup.paths);
  if (input.keeper !== undefined) planOomWatch(b, input.cgroup.paths);
  const stdio =
    input.keeper && planKeeper(b, input.keeper, input.spec.process?.terminal ? "command" : "none");
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
  const target = b.slot();
  b.add("child", `open ${input.rootfs}`, "open", [target, input.rootfs, linux.O_PATH, 0]);
  b.add("child", `mount the copy on ${input.rootfs}`, "move_mount", [root, target]);
  if (stdio !== undefined) planStdio(b, stdio);
  b.stage("exec");
  for (let slot = 0; slot < input.passed; slot++)
    b.add("child", `hand over descriptor ${3 + slot}`, "dup", [slot, 3 + slot]);
  b.add("child", "close all other descriptors at exec", "close_range", [3 + input.passed]);
  b.add("child", `find ${input.criu}`, "lookup", [input.criu, input.searchPath]);
  b.add("child", "say that all is set up", "ready", []);
  b.add("child", "execute criu", "exec", [3, "criu", "swrk", "3", `PATH=${input.searchPath}`]);
  return b.build();
}

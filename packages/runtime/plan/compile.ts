/**
 * The compiler: turns a validated config.json into a plan. Pure: host state is part of {@link CompileInput}, and the same
 * input always gives the same plan, which `berth explain` prints.
 */
import { BerthError, present } from "@berth/base";
import type { Spec } from "@berth/oci";
import type { NetDevice } from "../network/devices.ts";
import type { RdtGroups } from "../rdt/groups.ts";
import { PlanBuilder } from "./builder.ts";
import { type CgroupPlan, planCgroup, planCgroupJoin } from "./cgroup.ts";
import { ownsDev, planDevices } from "./devices.ts";
import { planHooks, planParentHooks } from "./hooks.ts";
import {
  type LaunchInput,
  MARKS,
  planAttachment,
  planConsole,
  planOomScore,
  planProcess,
  planSession,
} from "./launch-plan.ts";
import { MOUNT_ATTR_RDONLY } from "./mount-options.ts";
import { planMounts } from "./mounts.ts";
import { cloneFlags, planJoin, planTimeNamespace, planUserNamespace, sortNamespaces } from "./namespaces.ts";
import { planNetDevices } from "./netdevices.ts";
import { CLONE_FLAGS, type Plan } from "./operations.ts";
import { planCovers, planPivot } from "./pivot.ts";
import { planPaths, planSysctls } from "./protect.ts";
import { planRdt, planRdtJoin } from "./rdt.ts";
import { planRoot, type RootMount } from "./rootfs.ts";
import { planAffinity } from "./scheduling.ts";
import { planOomWatch } from "./streams.ts";
import { addTarget, FOLDER } from "./targets.ts";

/** Everything a container's plan depends on. */
export interface CompileInput extends LaunchInput {
  id: string;
  bundle: string;
  spec: Spec;
  /** Absolute path of the root file system's directory. */
  rootfs: string;
  /** Mount point of the mount that contains it, if linux.rootfsPropagation is shared. */
  parentMount?: string;
  rootMounts: readonly RootMount[];
  cgroup: CgroupPlan;
  kernelRelease: string;
  noPivot: boolean;
  /** With noPivot: mount points in the host's procfs and sysfs that get covered. */
  bareMounts?: readonly string[];
  rdt: RdtGroups | undefined;
  /** Host network devices to move into the container. */
  netDevices: readonly NetDevice[];
  /** Whether the host has SELinux enabled, so that file systems are labelled. */
  selinux: boolean;
}

/** The container's namespaces. */
interface Namespaces {
  /** Types of new namespaces. */
  created: ReadonlySet<string>;
  /** Types of new and joined namespaces. */
  own: ReadonlySet<string>;
  /** Slot of the joined user namespace. */
  joinedUser: number | undefined;
}

/** Rejects masked and read-only paths without a mount namespace, as the root is then a detached mount tree. */
function checkMountNamespace(spec: Spec): void {
  for (const field of ["maskedPaths", "readonlyPaths"] as const) {
    if ((spec.linux?.[field] ?? []).length > 0)
      throw new BerthError(
        "invalid_argument",
        `linux.${field}: unable to restrict sys entries without a private MNT namespace: found no "mount" among linux.namespaces`,
        { stage: "config", hint: "add a mount namespace, or empty the list" },
      );
  }
}

/** Compiles a container's plan. */
export function compileContainer(input: CompileInput): Plan {
  const { spec, state, linux } = input;
  const b = new PlanBuilder(input.inherited);
  const { created, joined } = sortNamespaces(linux.namespaces ?? []);
  const own = new Set([...created, ...joined.map((n) => n.type)]);
  if (!own.has("mount")) checkMountNamespace(spec);
  b.cloneFlags = cloneFlags(created);
  planCgroup(b, input.cgroup, linux.resources ?? {});
  planCgroupJoin(b, input.cgroup.paths);
  planRdt(b, input.rdt);
  planRdtJoin(b, input.rdt);
  const slots = planJoin(b, joined, input.owner);
  if (created.has("user")) planUserNamespace(b, linux, input.owner);
  planOomScore(b, input.process);
  const parentHooks = planParentHooks(b, spec.hooks, state);
  if (input.attachment.kind === "keeper") planOomWatch(b, input.cgroup.paths);
  const stdio = planAttachment(b, input);

  b.stage("namespaces");
  b.add("child", "begin with namespaces", "mark", [MARKS.indexOf("namespaces")]);
  planAffinity(b, undefined);
  if (created.has("cgroup"))
    b.add("child", "make its cgroup the root of a cgroup namespace", "unshare", [CLONE_FLAGS.cgroup]);
  if (created.has("time")) planTimeNamespace(b, linux.timeOffsets);
  planSession(b, input, input.id, own.has("user"));
  b.stage("namespaces");
  if (spec.hostname) b.add("child", `set the host name ${spec.hostname}`, "sethostname", [spec.hostname]);
  if (spec.domainname)
    b.add("child", `set the domain name ${spec.domainname}`, "setdomainname", [spec.domainname]);
  if (created.has("network")) b.add("child", "bring up the loopback device", "loopback", []);
  planNetDevices(b, input.netDevices);

  planFileSystem(b, input, { created, own, joinedUser: slots.get("user") }, parentHooks);
  planProcess(b, input, stdio, () => {
    // As in runc, hooks without an environment get the process's.
    const env = [...(input.process.env ?? []), "HOME"];
    planHooks(b, "child", "startContainer", spec.hooks?.startContainer, { ...state, status: "created" }, env);
  });
  return b.build();
}

/** Creates a missing working directory, as runc and docker do, except in the kernel's file systems. */
function planWorkingDirectory(b: PlanBuilder, root: number, cwd: string): void {
  if (cwd === "/" || /^\/+(proc|sys)(\/|$)/.test(cwd)) return;
  const slot = b.childSlot();
  addTarget(b, `find or make the working folder ${cwd}`, slot, [root, cwd], FOLDER);
  b.release(slot);
}

function planFileSystem(
  b: PlanBuilder,
  input: CompileInput,
  namespaces: Namespaces,
  parentHooks: () => void,
): void {
  const { spec, linux, state } = input;
  const { created, own } = namespaces;
  const userNamespace = own.has("user");
  b.add("child", "continue with mounts", "mark", [MARKS.indexOf("mounts")]);
  // With a user namespace, root on the host opens host paths that the container's root may not reach.
  const fromHost = userNamespace && input.owner.uid === 0;
  const root = planRoot(b, {
    path: input.rootfs,
    mounts: input.rootMounts,
    ...present({ parentMount: input.parentMount }),
    propagation: linux.rootfsPropagation,
    kernelRelease: input.kernelRelease,
    fromHost,
    mountNamespace: own.has("mount"),
  });
  const mounts = planMounts(b, spec.mounts ?? [], {
    root,
    rootfs: input.rootfs,
    bundle: input.bundle,
    layout: input.cgroup.layout,
    cgroup: input.cgroup.paths,
    fromHost,
    keepRestrictions: fromHost,
    cgroupNamespace: created.has("cgroup"),
    mappings: { users: linux.uidMappings, groups: linux.gidMappings, joined: namespaces.joinedUser },
    label: input.selinux ? linux.mountLabel : undefined,
  });
  if (ownsDev(spec.mounts ?? []))
    planDevices(
      b,
      root,
      linux.devices ?? [],
      userNamespace || input.owner.confined,
      input.process.terminal === true,
    );
  parentHooks();
  // As in runc, createContainer hooks start in the rootfs directory.
  if ((spec.hooks?.createContainer ?? []).length > 0 && own.has("mount") && !fromHost)
    b.stage("createContainer hook").add("child", "go to the root for the hooks", "chdir", [input.rootfs]);
  planHooks(b, "child", "createContainer", spec.hooks?.createContainer, state);
  planConsole(b, input.process, root, true);
  b.stage("rootfs").add("child", "continue with the root", "mark", [MARKS.indexOf("root")]);
  if (mounts.readonlyDev !== undefined) {
    b.add("child", "make /dev read-only", "mount_setattr", [
      mounts.readonlyDev,
      0,
      MOUNT_ATTR_RDONLY,
      0,
      0,
      -1,
    ]);
  }
  planWorkingDirectory(b, root, input.process.cwd);
  planSysctls(b, spec, mounts);
  planPaths(b, root, spec);
  for (const slot of [mounts.readonlyDev, mounts.proc]) if (slot !== undefined) b.release(slot);
  if (own.has("mount")) planCovers(b, input.bareMounts ?? []);
  planPivot(b, root, {
    readonly: spec.root?.readonly ?? false,
    method: !own.has("mount") ? "chroot" : input.noPivot ? "move" : "pivot",
    propagation: linux.rootfsPropagation,
  });
}

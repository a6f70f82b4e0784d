/**
 * The compiler: a validated config.json becomes a plan. Pure: what must be known of the host comes in as
 * {@link CompileInput}; the same input always gives the same plan, which `berth explain` prints.
 */
import { BerthError } from "@berth/base";
import type { Namespace, Spec, State } from "@berth/oci";
import { PlanBuilder } from "./builder.ts";
import { type CgroupPlan, planCgroup, planCgroupJoin } from "./cgroup.ts";
import { ownsDev, planDevices } from "./devices.ts";
import { planHooks } from "./hooks.ts";
import {
  type LaunchInput,
  MARKS,
  planAttachment,
  planConsole,
  planConsoleInPlace,
  planOomScore,
  planProcess,
  planSession,
} from "./launch-plan.ts";
import { MOUNT_ATTR_RDONLY } from "./mount-options.ts";
import { type MountResult, planMounts } from "./mounts.ts";
import { CLONE_FLAGS, JOIN_ORDER, type Plan } from "./operations.ts";
import { AT_FDCWD, FSCONFIG_CMD_CREATE, planPivot, planRoot, type RootMount } from "./rootfs.ts";

const utf8 = new TextEncoder();

/** Everything a container's plan depends on. */
export interface CompileInput extends LaunchInput {
  id: string;
  bundle: string;
  spec: Spec;
  /** Absolute path of the rootfs folder. */
  rootfs: string;
  rootMounts: readonly RootMount[];
  cgroup: CgroupPlan;
  kernelRelease: string;
  noPivot: boolean;
}

/** The namespaces of a bundle by type, with what is done about each. */
export function sortNamespaces(namespaces: readonly Namespace[]): {
  created: Set<string>;
  joined: Namespace[];
} {
  return {
    created: new Set(namespaces.filter((n) => !n.path).map((n) => n.type)),
    joined: namespaces.filter((n) => n.path),
  };
}

function cloneFlags(created: ReadonlySet<string>): number {
  let flags = 0;
  // The cgroup namespace comes later, when the process is in the cgroup that shall be its root.
  for (const type of created) if (type !== "cgroup") flags |= CLONE_FLAGS[type as keyof typeof CLONE_FLAGS];
  return flags >>> 0;
}

function planJoin(b: PlanBuilder, joined: readonly Namespace[]): void {
  b.stage("namespaces");
  const ordered = [...joined].sort((x, y) => JOIN_ORDER.indexOf(x.type) - JOIN_ORDER.indexOf(y.type));
  const slots = ordered.map((ns) => {
    const slot = b.slot();
    b.add("setup", `open the ${ns.type} namespace ${ns.path}`, "open", [slot, ns.path!, 0, 0]);
    return slot;
  });
  ordered.forEach((ns, i) => {
    b.add("join", `join the ${ns.type} namespace ${ns.path}`, "setns", [slots[i]!, CLONE_FLAGS[ns.type]]);
  });
}

function idMap(mappings: readonly { containerID: number; hostID: number; size: number }[]): Uint8Array {
  return utf8.encode(mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join(""));
}

/** Maps of a new user namespace. `/proc/PID` of the child is opened by the pid that berth-init fills in. */
function planUserNamespace(b: PlanBuilder, spec: Spec): void {
  b.stage("namespaces");
  b.add("attach", "map users", "write_child", ["uid_map", idMap(spec.linux?.uidMappings ?? [])]);
  b.add("attach", "map groups", "write_child", ["gid_map", idMap(spec.linux?.gidMappings ?? [])]);
}

function planPaths(b: PlanBuilder, root: number, spec: Spec): void {
  b.stage("security");
  const masked = spec.linux?.maskedPaths ?? [];
  for (const path of spec.linux?.readonlyPaths ?? []) {
    b.add("child", `make ${path} read-only`, "readonly", [root, path], { ifPresent: true });
  }
  if (masked.length === 0) return;
  // What covers a masked file is the host's /dev/null, never a node that the image brought.
  const nothing = b.slot();
  const folder = b.slot();
  const fs = b.slot();
  b.add("child", "take the host's /dev/null for masks", "open_tree", [nothing, AT_FDCWD, "/dev/null", 0]);
  b.add("child", "check that it is the null device", "check_device", [nothing, (1n << 32n) | 3n]);
  b.add("child", "open an empty file system for masks", "fsopen", [fs, "tmpfs"]);
  b.add("child", "create it", "fsconfig", [fs, FSCONFIG_CMD_CREATE, "", "", 0]);
  b.add("child", "mount it read-only", "fsmount", [folder, fs, MOUNT_ATTR_RDONLY]);
  for (const path of masked)
    b.add("child", `mask ${path}`, "mask", [root, path, nothing, folder], { ifPresent: true });
}

function planSysctls(b: PlanBuilder, spec: Spec, mounts: MountResult): void {
  const sysctls = Object.entries(spec.linux?.sysctl ?? {});
  if (sysctls.length === 0) return;
  b.stage("sysctl");
  if (mounts.proc === undefined) {
    throw new BerthError(
      "invalid_argument",
      `linux.sysctl: setting ${sysctls[0]![0]} needs a mount of type proc on /proc`,
      { stage: "sysctl" },
    );
  }
  for (const [key, value] of sysctls) {
    b.add("child", `set ${key} = ${value}`, "write_in", [
      mounts.proc,
      `sys/${key.replaceAll(".", "/")}`,
      utf8.encode(value),
    ]);
  }
}

/** Fields of config.json that this runtime does not apply: asking for one is an error, never silence. */
function refuseUnsupported(spec: Spec): void {
  const linux = spec.linux ?? {};
  const fields: readonly (readonly [string, unknown])[] = [
    ["linux.intelRdt", linux.intelRdt],
    ["linux.memoryPolicy", linux.memoryPolicy],
    [
      "linux.netDevices",
      linux.netDevices && Object.keys(linux.netDevices).length > 0 ? linux.netDevices : undefined,
    ],
    [
      "linux.timeOffsets",
      linux.timeOffsets && Object.keys(linux.timeOffsets).length > 0 ? linux.timeOffsets : undefined,
    ],
    ["linux.mountLabel", linux.mountLabel || undefined],
    ["process.scheduler", spec.process?.scheduler],
    ["process.ioPriority", spec.process?.ioPriority],
    ["process.execCPUAffinity", spec.process?.execCPUAffinity],
    ["linux.seccomp.listenerPath", linux.seccomp?.listenerPath || undefined],
  ];
  for (const [field, value] of fields) {
    if (value !== undefined)
      throw new BerthError("unimplemented", `${field}: this field is not supported`, { stage: "config" });
  }
}

/** Compiles a container's plan. */
export function compileContainer(input: CompileInput): Plan {
  const { spec } = input;
  refuseUnsupported(spec);
  const b = new PlanBuilder(input.inherited);
  const { created, joined } = sortNamespaces(spec.linux?.namespaces ?? []);
  const ownMounts = created.has("mount");
  if (!ownMounts && !joined.some((n) => n.type === "mount")) {
    throw new BerthError(
      "invalid_argument",
      'linux.namespaces: found no "mount" namespace, expected one: a root file system needs it',
      { stage: "namespaces" },
    );
  }
  const state: State = {
    ociVersion: spec.ociVersion,
    id: input.id,
    status: "creating",
    bundle: input.bundle,
    ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }),
  };
  b.cloneFlags = cloneFlags(created);
  planCgroup(b, input.cgroup, spec.linux?.resources ?? {});
  planCgroupJoin(b, input.cgroup.paths);
  planJoin(b, joined);
  if (created.has("user")) planUserNamespace(b, spec);
  planOomScore(b, input.process);
  const stdio = planAttachment(b, input);
  planHooks(b, "attach", "prestart", spec.hooks?.prestart, state);
  planHooks(b, "attach", "createRuntime", spec.hooks?.createRuntime, state);

  b.stage("namespaces");
  b.add("child", "begin with namespaces", "mark", [MARKS.indexOf("namespaces")]);
  if (created.has("cgroup"))
    b.add("child", "make its cgroup the root of a cgroup namespace", "unshare", [CLONE_FLAGS.cgroup]);
  planSession(b, input, input.id, created.has("user") || joined.some((n) => n.type === "user"));
  b.stage("namespaces");
  if (spec.hostname) b.add("child", `set the host name ${spec.hostname}`, "sethostname", [spec.hostname]);
  if (spec.domainname)
    b.add("child", `set the domain name ${spec.domainname}`, "setdomainname", [spec.domainname]);
  if (created.has("network")) b.add("child", "bring up the loopback device", "loopback", []);

  if (ownMounts) planFileSystem(b, input, created, state);
  else planConsoleInPlace(b, input.process);
  planProcess(b, input, stdio, spec.linux?.personality, () => {
    planHooks(b, "child", "startContainer", spec.hooks?.startContainer, { ...state, status: "created" });
  });
  return b.build();
}

/** As with runc and docker, a working folder that the image lacks is made; the kernel's file systems have what they have. */
function planWorkingFolder(b: PlanBuilder, root: number, cwd: string): void {
  if (cwd === "/" || /^\/+(proc|sys)(\/|$)/.test(cwd)) return;
  const slot = b.childSlot();
  b.add("child", `find or make the working folder ${cwd}`, "target", [slot, root, cwd, -1, 0]);
  b.release(slot);
}

function planFileSystem(
  b: PlanBuilder,
  input: CompileInput,
  created: ReadonlySet<string>,
  state: State,
): void {
  const { spec } = input;
  const linux = spec.linux ?? {};
  b.add("child", "continue with mounts", "mark", [MARKS.indexOf("mounts")]);
  const root = planRoot(b, {
    path: input.rootfs,
    mounts: input.rootMounts,
    propagation: linux.rootfsPropagation,
    kernelRelease: input.kernelRelease,
    userNamespace: created.has("user"),
  });
  const mounts = planMounts(b, spec.mounts ?? [], {
    root,
    bundle: input.bundle,
    layout: input.cgroup.layout,
    cgroup: input.cgroup.paths,
    userNamespace: created.has("user"),
    cgroupNamespace: created.has("cgroup"),
  });
  if (ownsDev(spec.mounts ?? []))
    planDevices(b, root, linux.devices ?? [], created.has("user"), input.process.terminal === true);
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
  planWorkingFolder(b, root, input.process.cwd);
  planSysctls(b, spec, mounts);
  planPaths(b, root, spec);
  planPivot(b, root, {
    readonly: spec.root?.readonly ?? false,
    pivot: !input.noPivot,
    propagation: linux.rootfsPropagation,
  });
}

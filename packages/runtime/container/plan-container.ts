/** Compiles a container's plan from its bundle and the host's state. */
import { log, present, stageSync } from "@berth/base";
import type { Mount, Process, Spec } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { observeCgroups } from "../cgroups/observe.ts";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { NetDevice } from "../network/devices.ts";
import { type CompileInput, compileContainer } from "../plan/compile.ts";
import { ownsDev } from "../plan/devices.ts";
import type { Operation, Plan } from "../plan/operations.ts";
import type { RootMount } from "../plan/rootfs.ts";
import { type ContainerRecord, containerFiles } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { rootfsOf } from "./bundle.ts";
import { bareKernelMounts, mountpointOf } from "./host-mounts.ts";
import { checkTerminal, type LaunchSettings } from "./launch-settings.ts";
import { newRecord } from "./new-record.ts";
import { ownerOf } from "./owner.ts";
import { seccompFilter } from "./seccomp-filter.ts";

/** Additions to the bundle's spec, used for this launch only and not recorded. */
export interface Additions {
  env: string[];
  mounts: Mount[];
}

/** Options of `create`. */
export interface CreateOptions extends LaunchSettings {
  id: string;
  /** Absolute path of the bundle. */
  bundle: string;
  /** Its config.json, if the caller has read it already ({@link readBundle}). */
  spec?: Spec;
  /** Mounts that make up the root file system; empty if root.path holds it. */
  rootMounts: readonly RootMount[];
  /** Wait for start (create), or execute at once (run). */
  gate: boolean;
  /** Stay attached until the process exits (run in the foreground). */
  wait: boolean;
  noPivot: boolean;
  additions?: Additions;
  /** Called after the container's directory is created and before its process is. */
  beforeLaunch?: () => void;
}

/** st_rdev of /dev/null. */
const NULL_RDEV = 0x103;

/** Which of descriptors 0 to 2 are the null device; empty if the bundle brings its own /dev. */
function nullStreams(sys: Sys, spec: Spec, options: LaunchSettings): number[] {
  if (spec.process?.terminal || !ownsDev(spec.mounts ?? [])) return [];
  const { attachment } = options;
  if (attachment.kind === "keeper") {
    const { stdin, stdout, stderr, log } = attachment.keeper.streams;
    return [stdin, stdout, stderr].flatMap((s, i) => (s.kind === "null" && (i === 0 || !log) ? [i] : []));
  }
  return options.stdio.flatMap((fd, i) => (sys.stat(`/proc/self/fd/${fd}`)?.rdev === NULL_RDEV ? [i] : []));
}

function withAdditions(spec: Spec, additions: Additions | undefined): Spec {
  if (additions === undefined || spec.process === undefined) return spec;
  return {
    ...spec,
    process: { ...spec.process, env: [...(spec.process.env ?? []), ...additions.env] },
    mounts: [...(spec.mounts ?? []), ...additions.mounts],
  };
}

async function addRdt(sys: Sys, spec: Spec, record: ContainerRecord): Promise<void> {
  if (spec.linux?.intelRdt === undefined) return;
  const { rdtGroups } = await import("../rdt/groups.ts");
  const rdt = rdtGroups(sys, spec.linux.intelRdt, record.id);
  if (rdt !== undefined) record.rdt = rdt;
}

/** Few bundles have network devices, so the module is loaded on demand. */
async function netDevices(sys: Sys, spec: Spec): Promise<NetDevice[]> {
  if (spec.linux?.netDevices === undefined) return [];
  const { findNetDevices } = await import("../network/devices.ts");
  return findNetDevices(sys, spec.linux.netDevices);
}

/**
 * Compiles a bundle's plan. Reads the host state that the plan depends on, and changes nothing. `cgroup` is the cgroup that
 * systemd has created, if known.
 */
export async function planContainer(
  runtime: Runtime,
  bundleSpec: Spec,
  options: CreateOptions,
  cgroup?: CgroupPaths,
): Promise<{ plan: Plan; record: ContainerRecord }> {
  const { sys } = runtime;
  const rootfs = rootfsOf(runtime, bundleSpec, options.bundle);
  const spec = withAdditions(bundleSpec, options.additions);
  const process: Process = spec.process ?? { user: { uid: 0, gid: 0 }, cwd: "/" };
  checkTerminal(process, options.attachment);
  const layout = runtime.layout();
  const owner = ownerOf(sys);
  const record = newRecord(runtime, { ...options, spec, rootfs }, owner);
  await addRdt(sys, spec, record);
  if (cgroup !== undefined) record.cgroup = cgroup;
  const paths = record.cgroup;
  if (runtime.cgroupless && spec.linux?.resources?.devices?.some((rule) => !rule.allow))
    log.warn("linux.resources.devices: without a cgroup nothing enforces these rules");
  const files = containerFiles(runtime.root, options.id);
  const input: CompileInput = {
    id: options.id,
    bundle: options.bundle,
    spec,
    process,
    rootfs,
    ...(spec.linux?.rootfsPropagation?.endsWith("shared")
      ? { parentMount: mountpointOf(sys.readText("/proc/self/mountinfo"), rootfs) }
      : {}),
    rootMounts: options.rootMounts,
    cgroup: { layout, paths, facts: observeCgroups(sys, layout, paths, record.unit !== undefined) },
    state: {
      ociVersion: spec.ociVersion,
      id: options.id,
      status: "creating",
      bundle: options.bundle,
      ...present({ annotations: spec.annotations }),
    },
    linux: spec.linux ?? {},
    owner,
    rdt: record.rdt,
    netDevices: await netDevices(sys, spec),
    selinux: spec.linux?.mountLabel ? sys.stat("/sys/fs/selinux/enforce") !== undefined : false,
    kernelRelease: sys.kernelRelease(),
    noPivot: options.noPivot,
    ...(options.noPivot
      ? { bareMounts: bareKernelMounts(sys.readText("/proc/self/mountinfo"), rootfs) }
      : {}),
    noNewKeyring: options.noNewKeyring,
    attachment: options.attachment,
    wait: options.wait,
    preserved: options.preserved,
    nullStreams: nullStreams(sys, spec, options),
    inherited: options.inherited.length,
    ...present({ pidfdSocket: options.pidfdSocket }),
    seccomp: await seccompFilter(runtime, spec.linux?.seccomp),
    gate: options.gate ? { fifo: files.fifo, report: files.report } : undefined,
  };
  const plan = stageSync("compile", {}, () => compileContainer(input));
  if (options.gate) record.tail = tailOf(plan);
  return { plan, record };
}

/** The operations after the gate, recorded so that `start` can name the one that failed. Byte arguments are omitted. */
function tailOf(plan: Plan): { index: number; operations: Operation[] } {
  const index = plan.sections.child.findIndex((op) => op.name === "wait_fifo");
  const operations = plan.sections.child.slice(index).map((op) => ({
    ...op,
    args: op.args.filter((a) => typeof a !== "object" && typeof a !== "bigint").slice(0, 2),
  }));
  return { index, operations };
}

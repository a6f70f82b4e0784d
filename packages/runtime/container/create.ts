/** create: a bundle becomes a container that waits for start (or, for `run`, one that runs). */
import { BerthError, isCode, log, stage, stageSync } from "@berth/base";
import { type Mount, type Namespace, type Process, parseSpec, type Spec, stringifyJson } from "@berth/oci";
import type { Sys } from "@berth/sys";
import { isFrozen } from "../cgroups/freezer.ts";
import { observeCgroups } from "../cgroups/observe.ts";
import { type CgroupPaths, cgroupPaths, pathsBelow } from "../cgroups/paths.ts";
import { cgroupPids } from "../cgroups/processes.ts";
import { reachableCgroups } from "../cgroups/reach.ts";
import { streamLinks } from "../checkpoint/descriptors.ts";
import { type Launched, launch } from "../launch/launch.ts";
import type { NetDevice } from "../network/devices.ts";
import { type CompileInput, compileContainer } from "../plan/compile.ts";
import { ownsDev } from "../plan/devices.ts";
import type { Attachment } from "../plan/launch-plan.ts";
import type { Owner } from "../plan/namespaces.ts";
import type { Operation, Plan } from "../plan/operations.ts";
import type { RootMount } from "../plan/rootfs.ts";
import { type ContainerRecord, checkId, containerFiles, processStat, writeRecord } from "../state/record.ts";
import { likelyPath, unitName } from "../systemd/unit.ts";
import type { Runtime } from "./context.ts";
import { bareKernelMounts, mountOf } from "./host-mounts.ts";
import { ownerOf } from "./owner.ts";
import { releaseCgroup } from "./release.ts";
import { seccompFilter } from "./seccomp-filter.ts";

/** How a process is started, beside what the bundle says. */
export interface LaunchSettings {
  attachment: Attachment;
  /** Descriptors of berth-init: its own (and, with "inherit", the process's) 0 to 2. */
  stdio: readonly [number, number, number];
  /** Descriptors that become the plan's slots 0, 1, and so on. */
  inherited: readonly number[];
  /** Those slots that become the process's descriptors 3, 4, and so on. */
  preserved: readonly number[];
  noNewKeyring: boolean;
  /** Slot of a connected unix socket that gets the process's pidfd. */
  pidfdSocket?: number;
}

/** What a launch is found again by, where a keeper stays behind. */
export function launchTag({ attachment }: LaunchSettings): { tag?: string } {
  return attachment.kind === "keeper" ? { tag: attachment.keeper.exitName } : {};
}

/** What a caller adds to the bundle's spec, for this process alone. */
export interface Additions {
  env: string[];
  mounts: Mount[];
}

/** What `create` is asked for. */
export interface CreateOptions extends LaunchSettings {
  id: string;
  /** Absolute path of the bundle. */
  bundle: string;
  /** Its config.json, where the caller has read it already ({@link readBundle}). */
  spec?: Spec;
  /** Mounts that make up the root file system; none: root.path is complete. */
  rootMounts: readonly RootMount[];
  /** Wait for start (create), or execute at once (run). */
  gate: boolean;
  /** Follow the process to its end (run in the foreground). */
  wait: boolean;
  noPivot: boolean;
  additions?: Additions;
  /** Called when the container's folder is there and its process is not. */
  beforeLaunch?: () => void;
}

/** Reads and checks a bundle's config.json. */
export function readBundle(runtime: Runtime, bundle: string): Spec {
  const path = `${bundle}/config.json`;
  const text = runtime.sys.readTextIfAny(path);
  if (text === undefined) {
    // runc's words, which its users' tools look for.
    throw new BerthError("not_found", `JSON specification file config.json not found: ${path}`, {
      stage: "config",
      path,
      hint: "`berth-runc spec` writes one",
    });
  }
  return stageSync("validate", {}, () => parseSpec(text, { onWarning: (warning) => log.warn(warning) }));
}

/** The rootfs folder of a bundle, absolute and without links. */
export function rootfsOf(runtime: Runtime, spec: Spec, bundle: string): string {
  if (spec.root === undefined) {
    throw new BerthError("invalid_argument", "root: found nothing, expected the root file system's path", {
      stage: "rootfs",
      hint: 'set it in config.json: "root": {"path": "rootfs"}',
    });
  }
  const { path } = spec.root;
  const absolute = path.startsWith("/") ? path : `${bundle}/${path}`;
  const info = runtime.sys.stat(absolute);
  if (info?.kind !== "folder") {
    throw new BerthError(
      "invalid_argument",
      `root.path: found ${info === undefined ? "nothing" : `a ${info.kind}`} at ${absolute}, expected the folder of the root file system`,
      { stage: "rootfs", path: absolute, hint: "unpack an image there, or correct root.path" },
    );
  }
  return runtime.sys.realpath(absolute);
}

/** The record of a container that is about to be made. */
export function newRecord(
  runtime: Runtime,
  of: { id: string; bundle: string; spec: Spec; rootfs: string },
  owner: Owner = ownerOf(runtime.sys),
): ContainerRecord {
  const { id, bundle, spec, rootfs } = of;
  const layout = runtime.layout();
  const unit = runtime.systemd ? unitName(spec.linux?.cgroupsPath, id, owner.uid !== 0) : undefined;
  const cgroup = runtime.cgroupless
    ? { path: "", v1: {} }
    : unit
      ? pathsBelow(layout, likelyPath(unit))
      : cgroupPaths(layout, spec.linux?.cgroupsPath, id);
  return {
    version: 1,
    ociVersion: spec.ociVersion,
    id,
    pid: 0,
    startTime: 0,
    bundle,
    rootfs,
    created: new Date().toISOString(),
    owner: owner.uid,
    ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }),
    ...(unit === undefined ? {} : { unit }),
    cgroup: owner.confined ? reachableCgroups(runtime.sys, cgroup) : cgroup,
    namespaces: namespaceTypes(spec.linux?.namespaces ?? []),
  };
}

/** rdev of /dev/null. */
const NULL_RDEV = 0x103;

/** Which of descriptors 0 to 2 are the null device; none where /dev is not the runtime's to fill. */
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

/** Devices are rare: what knows of them is loaded when a bundle names one. */
async function netDevices(sys: Sys, spec: Spec): Promise<NetDevice[]> {
  if (spec.linux?.netDevices === undefined) return [];
  const { findNetDevices } = await import("../network/devices.ts");
  return findNetDevices(sys, spec.linux.netDevices);
}

/**
 * Compiles a bundle's plan; reads of the host what the plan depends on, and changes nothing. `cgroup` is where systemd has
 * made the container's.
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
      ? { parentMount: mountOf(sys.readText("/proc/self/mountinfo"), rootfs) }
      : {}),
    rootMounts: options.rootMounts,
    cgroup: { layout, paths, facts: observeCgroups(sys, layout, paths, record.unit !== undefined) },
    state: {
      ociVersion: spec.ociVersion,
      id: options.id,
      status: "creating",
      bundle: options.bundle,
      ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }),
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
    ...(options.pidfdSocket === undefined ? {} : { pidfdSocket: options.pidfdSocket }),
    seccomp: await seccompFilter(runtime, spec.linux?.seccomp),
    gate: options.gate ? { fifo: files.fifo, report: files.report } : undefined,
  };
  const plan = stageSync("compile", {}, () => compileContainer(input));
  if (options.gate) record.tail = tailOf(plan);
  return { plan, record };
}

/** What runs behind the gate, kept so that `start` can name what failed. Bytes (hooks' input, filters) stay out. */
function tailOf(plan: Plan): { index: number; operations: Operation[] } {
  const index = plan.sections.child.findIndex((op) => op.name === "wait_fifo");
  const operations = plan.sections.child.slice(index).map((op) => ({
    ...op,
    args: op.args.filter((a) => typeof a !== "object" && typeof a !== "bigint").slice(0, 2),
  }));
  return { index, operations };
}

function namespaceTypes(namespaces: readonly Namespace[]): string[] {
  return namespaces.map((n) => n.type);
}

/** A terminal needs somebody who holds its other end, and somebody who holds one needs a terminal. */
export function checkTerminal(process: Process, attachment: Attachment): void {
  const holds = attachment.kind === "console-socket" || attachment.kind === "foreground";
  if (process.terminal && attachment.kind === "inherit") {
    throw new BerthError(
      "invalid_argument",
      "cannot allocate tty if runc will detach without setting console socket",
      { stage: "console", hint: "pass --console-socket, or set process.terminal to false" },
    );
  }
  if (!process.terminal && holds && attachment.kind === "console-socket") {
    throw new BerthError(
      "invalid_argument",
      "cannot use console socket if runc will not detach or allocate tty",
      { stage: "console", hint: "set process.terminal to true, or leave --console-socket out" },
    );
  }
}

/** Takes the id: the folder is the lock, whoever makes it owns the container. */
export function claim(runtime: Runtime, id: string): void {
  const { sys, root } = runtime;
  const files = containerFiles(root, id);
  sys.mkdirAll(root, 0o700);
  try {
    sys.mkdir(files.folder, 0o711);
  } catch (error) {
    throw isCode(error, "already_exists") ? taken(id, files.folder) : error;
  }
}

function taken(id: string, folder: string): BerthError {
  return new BerthError("already_exists", `container with given ID already exists: ${id}`, {
    stage: "state",
    path: folder,
    hint: `delete it first (berth-runc delete ${id}), or take another id`,
  });
}

/** Undoes what a failed create has made; what cannot be undone is told with the failure. */
async function undo(runtime: Runtime, record: ContainerRecord): Promise<void> {
  await releaseCgroup(runtime, record);
  runtime.sys.removeTree(containerFiles(runtime.root, record.id).folder);
}

/** Runs what makes the container; when that fails, undoes it. */
export async function withUndo<T>(
  runtime: Runtime,
  record: ContainerRecord,
  make: () => Promise<T>,
): Promise<T> {
  try {
    return await make();
  } catch (error) {
    await undo(runtime, record).catch((left: unknown) => {
      throw new BerthError(
        "internal",
        `${BerthError.from(error).message}; and undoing it failed: ${BerthError.from(left).message}`,
        { stage: "create", cause: error },
      );
    });
    throw error;
  }
}

/** A cgroup that is there already must be empty, and let a process run. */
export function refuseBusyCgroup(sys: Sys, paths: CgroupPaths): void {
  const [stranger] = cgroupPids(sys, paths);
  const hint = "set linux.cgroupsPath to a path of the container's own";
  if (stranger !== undefined) {
    throw new BerthError(
      "failed_precondition",
      `container's cgroup is not empty: ${paths.path} holds process ${stranger}`,
      { stage: "cgroup-state", hint },
    );
  }
  if (isFrozen(sys, paths)) {
    throw new BerthError("failed_precondition", `container's cgroup unexpectedly frozen: ${paths.path}`, {
      stage: "cgroup-state",
      hint,
    });
  }
}

/**
 * Runs what starts the container's process; with the systemd driver, in a unit that is started first. The cgroup that
 * systemd made is handed over, as the process has to enter it.
 */
export async function inUnit<T>(
  runtime: Runtime,
  spec: Spec,
  record: ContainerRecord,
  start: (cgroup: CgroupPaths | undefined) => Promise<T>,
): Promise<T> {
  if (record.unit === undefined) return start(undefined);
  const { startUnit } = await import("../systemd/cgroup.ts");
  const unit = await stage("systemd", { unit: record.unit.unit }, () => startUnit(runtime, spec, record));
  try {
    record.cgroup = unit.paths;
    return await start(unit.paths);
  } finally {
    unit.release();
  }
}

/** Creates the container; after a failure nothing of it is left. */
export async function create(
  runtime: Runtime,
  options: CreateOptions,
): Promise<Launched & { record: ContainerRecord }> {
  const { sys, root } = runtime;
  checkId(options.id);
  const spec = options.spec ?? readBundle(runtime, options.bundle);
  const files = containerFiles(root, options.id);
  // Who has the id is told before the bundle is looked at; claim() decides.
  if (sys.stat(files.folder) !== undefined) throw taken(options.id, files.folder);
  let { plan, record } = await planContainer(runtime, spec, options);
  refuseBusyCgroup(sys, record.cgroup);
  claim(runtime, options.id);
  return withUndo(runtime, record, async () => {
    // The intent comes before the act: who finds a record without a pid knows what may be there to remove. What is
    // needed for that is whole by then.
    sys.writeFile(files.spec, stringifyJson(spec));
    writeRecord(sys, root, record);
    if (options.gate) sys.mkfifo(files.fifo, 0o622);
    if (options.additions?.mounts.some((m) => m.source === files.notify)) sys.mkdir(files.notify, 0o755);
    options.beforeLaunch?.();
    const launched = await inUnit(runtime, spec, record, async (cgroup) => {
      if (cgroup !== undefined) ({ plan, record } = await planContainer(runtime, spec, options, cgroup));
      const { stdio, inherited } = options;
      return stage("launch", { id: options.id }, () =>
        launch(sys, { plan, name: options.id, ...launchTag(options), stdio, inherited }),
      );
    });
    record.pid = launched.pid;
    record.startTime = processStat(sys, launched.pid)?.startTime ?? 0;
    const streams = streamLinks(sys, launched.pid);
    if (streams !== undefined) record.streams = streams;
    writeRecord(sys, root, record);
    return { ...launched, record };
  });
}

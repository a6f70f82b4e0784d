/** restore: creates a container from a bundle and a CRIU image of its processes. */
import { BerthError, isCode, stage } from "@berth/base";
import { type Spec, stringifyJson } from "@berth/oci";
import { linux, type Sys, searchPath } from "@berth/sys";
import { observeCgroups } from "../cgroups/observe.ts";
import { criuConfig } from "../criu/config.ts";
import { type NotifyHandler, sendRequest } from "../criu/conversation.ts";
import { type CriuFolders, criuFailure, findCriu, openFolders, reapChild } from "../criu/criu.ts";
import { inheritedStreams, streamLinks } from "../criu/descriptors.ts";
import { externalForRestore, hostMounts, namespacesForRestore, parseMounts } from "../criu/external.ts";
import { compileRestore } from "../criu/restore-plan.ts";
import { encodeRequest } from "../criu/rpc.ts";
import type { RestoreSettings } from "../criu/settings.ts";
import { launch } from "../launch/launch.ts";
import type { RootMount } from "../plan/rootfs.ts";
import type { KeeperPlan, Stream } from "../plan/streams.ts";
import { type ContainerRecord, checkId, containerFiles, processStat, writeRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { readBundle, rootfsOf } from "./bundle.ts";
import { claim, refuseBusyCgroup, withUndo } from "./claim.ts";
import { runHooks } from "./hooks.ts";
import { withUnit } from "./launch-settings.ts";
import { newRecord } from "./new-record.ts";

const LOG_FILE = "restore.log";

/** Options of {@link restore}. */
export interface RestoreOptions extends RestoreSettings {
  id: string;
  /** Absolute path of the bundle. */
  bundle: string;
  spec?: Spec;
  rootMounts: readonly RootMount[];
  /** Descriptors 0 to 2 of a container without a terminal; they replace the pipes that it had. */
  stdio: readonly [number, number, number];
  /** Receives the master of the container's terminal. The descriptor is closed afterwards unless `keep` is returned. */
  onTerminal(master: number): { keep: boolean } | Promise<{ keep: boolean }>;
  /** Called when all processes are restored but not yet resumed. */
  onRestored(pid: number): Promise<void> | void;
  /** A keeper that stays as CRIU's parent and holds the streams. `stdio` are then berth-init's, `inherited` the keeper's. */
  keeper?: { plan: KeeperPlan; inherited: readonly number[] };
}

/** A restored container. Its process is a child of the caller, which must be a subreaper during the restore. */
export interface Restored {
  pid: number;
  record: ContainerRecord;
}

/** The process's cgroup in every hierarchy, below which CRIU is to restore the cgroups of its image. */
function cgroupRoots(sys: Sys, pid: number): { controller: string; path: string }[] {
  return sys
    .readText(`/proc/${pid}/cgroup`)
    .split("\n")
    .filter(Boolean)
    .flatMap((line) => {
      const [, controllers = "", ...path] = line.split(":");
      return controllers.split(",").map((controller) => ({ controller, path: path.join(":") }));
    });
}

function requireImage(sys: Sys, folder: string): void {
  if (sys.stat(`${folder}/inventory.img`) !== undefined) return;
  throw new BerthError("not_found", `no checkpoint in ${folder}: inventory.img is missing`, {
    stage: "restore",
    path: folder,
    hint: "name the folder that `checkpoint --image-path` wrote to",
  });
}

/** Resolves symlinks of a path in the root file system; returns the path itself if it does not exist. */
function resolveIn(sys: Sys, rootfs: string, path: string): string {
  try {
    const fd = sys.openInRoot(rootfs, path, linux.O_PATH);
    const found = sys.readlink(`/proc/self/fd/${fd}`);
    sys.close(fd);
    return found?.startsWith(`${rootfs}/`) ? found.slice(rootfs.length) : path;
  } catch (error) {
    if (isCode(error, "not_found")) return path;
    throw error;
  }
}

/** Types of the restored process's own namespaces; CRIU may have added a time namespace. */
function namespacesOf(sys: Sys, pid: number, spec: Spec): string[] {
  const types: string[] = (spec.linux?.namespaces ?? []).map((n) => n.type);
  const own = sys.stat(`/proc/${pid}/ns/time`)?.ino;
  if (own !== sys.stat("/proc/self/ns/time")?.ino && !types.includes("time")) types.push("time");
  return types;
}

/** Shifts the keeper's slots behind those that are passed to CRIU. */
function shiftSlots(keeper: KeeperPlan, first: number): KeeperPlan {
  const shift = (stream: Stream): Stream =>
    stream.kind === "inherited" ? { kind: "inherited", slot: first + stream.slot } : stream;
  const { stdin, stdout, stderr } = keeper.streams;
  return {
    ...keeper,
    streams: { ...keeper.streams, stdin: shift(stdin), stdout: shift(stdout), stderr: shift(stderr) },
  };
}

/** Restores the container; a failure leaves nothing behind. */
export async function restore(runtime: Runtime, options: RestoreOptions): Promise<Restored> {
  const { sys, root } = runtime;
  const { id, bundle } = options;
  checkId(id);
  const files = containerFiles(root, id);
  const spec = options.spec ?? readBundle(runtime, bundle);
  const rootfs = rootfsOf(runtime, spec, bundle);
  const criu = findCriu(sys);
  requireImage(sys, options.imagePath);
  const record = newRecord(runtime, { id, bundle, spec, rootfs });
  refuseBusyCgroup(sys, record.cgroup);
  const layout = runtime.layout();
  // Computed late: systemd may create the cgroup elsewhere than expected.
  const mountsOf = () => hostMounts(spec, bundle, layout, record.cgroup);
  const { passed, joined } = namespacesForRestore(spec.linux?.namespaces ?? []);
  const opened: number[] = [];
  const open = (path: string, flags: number) => {
    const fd = sys.open(path, flags);
    opened.push(fd);
    return fd;
  };
  try {
    const inherit = passed.map(({ key, path }, i) => ({
      key,
      fd: 4 + i,
      source: open(path, linux.O_RDONLY),
    }));
    const launchOptions = (socket: number) => {
      const plan = compileRestore({
        spec,
        rootfs,
        rootMounts: options.rootMounts,
        mounts: mountsOf(),
        cgroup: {
          layout,
          paths: record.cgroup,
          facts: observeCgroups(sys, layout, record.cgroup, record.unit !== undefined),
        },
        kernelRelease: sys.kernelRelease(),
        criu,
        searchPath: searchPath(sys),
        passed: 1 + inherit.length,
        ...(options.keeper === undefined
          ? {}
          : {
              keeper: shiftSlots(options.keeper.plan, 1 + inherit.length),
              streams: options.keeper.inherited.length,
            }),
      });
      const devNull = spec.process?.terminal ? open("/dev/null", linux.O_RDWR) : undefined;
      const stdio = devNull === undefined ? options.stdio : ([devNull, devNull, devNull] as const);
      return {
        plan,
        name: id,
        stdio,
        inherited: [socket, ...inherit.map((i) => i.source), ...(options.keeper?.inherited ?? [])],
      };
    };
    const request = (worker: number, folders: CriuFolders) =>
      encodeRequest("restore", {
        imageFolder: folders.imageFolder,
        workFolder: folders.workFolder,
        logFile: LOG_FILE,
        root: rootfs,
        tcpEstablished: options.tcpEstablished,
        tcpClose: options.tcpClose,
        externalUnixSockets: options.externalUnixSockets,
        shellJob: options.shellJob,
        fileLocks: options.fileLocks,
        autoDedup: options.autoDedup,
        lazyPages: options.lazyPages,
        emptyNamespaces: options.emptyNamespaces,
        cgroupMode: options.cgroupMode,
        networkLock: options.networkLock,
        external: externalForRestore(
          spec,
          mountsOf(),
          parseMounts(sys.readText("/proc/self/mountinfo")),
          (path) => resolveIn(sys, rootfs, path),
        ),
        inherit: [...inherit, ...inheritedStreams(sys, options.imagePath)],
        join: joined,
        cgroupRoots: cgroupRoots(sys, worker),
        sibling: true,
        evasiveDevices: true,
        lsmProfile: options.lsmProfile,
        lsmMountContext: options.lsmMountContext,
        configFile: criuConfig(sys, spec),
      });
    const saveProcess = (pid: number) => {
      record.pid = pid;
      record.startTime = processStat(sys, pid)?.startTime ?? 0;
      record.namespaces = namespacesOf(sys, pid, spec);
      const streams = streamLinks(sys, pid);
      if (streams !== undefined) record.streams = streams;
      writeRecord(runtime, record);
    };
    const onNotify: NotifyHandler = async (script, pid, descriptor) => {
      if (script === "orphan-pts-master" && descriptor !== undefined) {
        const { keep } = await options.onTerminal(descriptor);
        if (keep) return;
      }
      if (descriptor !== undefined) sys.close(descriptor);
      if (script === "setup-namespaces") {
        for (const name of ["prestart", "createRuntime"] as const)
          await runHooks(runtime, name, spec, { ...record, pid }, "creating");
      }
      // Recorded before the processes resume, so that the container is seen as running from its first moment.
      if (script !== "post-restore") return;
      saveProcess(pid);
      await options.onRestored(pid);
    };
    claim(runtime, id);
    return await withUndo(runtime, record, async () => {
      writeRecord(runtime, record);
      sys.writeFile(files.spec, stringifyJson(spec));
      const [ours, theirs] = sys.socketPair("packets");
      let worker = 0;
      try {
        worker = await withUnit(runtime, spec, record, async () => {
          const launched = await stage("launch", { id }, () => launch(sys, launchOptions(theirs)));
          await launched.exit();
          return launched.pid;
        });
        sys.close(theirs);
        opened.push(ours);
        const folders = openFolders(sys, options.imagePath, options.workPath, worker);
        opened.push(folders.imageFolder, ...(folders.workFolder === undefined ? [] : [folders.workFolder]));
        const response = await stage("restore", { id }, () =>
          sendRequest(sys, ours, request(worker, folders), onNotify),
        );
        if (!response.success)
          throw criuFailure(sys, `restore container ${id}`, response, `${folders.logFolder}/${LOG_FILE}`);
        if (record.pid !== response.pid) saveProcess(response.pid);
      } finally {
        // CRIU exits when its socket is closed.
        for (const fd of opened.splice(0)) sys.close(fd);
        if (worker !== 0 && options.keeper === undefined) await reapChild(sys, worker);
      }
      return { pid: record.pid, record };
    });
  } finally {
    for (const fd of opened) sys.close(fd);
  }
}

/** Waits for a restored process, a child of the caller, to exit. Returns its exit code. */
export async function waitRestored(sys: Sys, pid: number): Promise<number> {
  const pidfd = sys.pidfdOpen(pid);
  try {
    for (;;) {
      const code = sys.reap(pid);
      if (code !== undefined) return code;
      if (pidfd === undefined)
        throw new BerthError("internal", `the restored process ${pid} is gone, and its exit code with it`, {
          stage: "restore",
        });
      await sys.poll(pidfd, linux.POLLIN, 60_000);
    }
  } finally {
    if (pidfd !== undefined) sys.close(pidfd);
  }
}

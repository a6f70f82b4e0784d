/** checkpoint: dumps a container's processes to a directory by CRIU. The container is removed unless leaveRunning or preDump is set. */
import { BerthError, isCode } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { criuConfig } from "../criu/config.ts";
import { criuFailure, openFolders, requireFeature, runWorker } from "../criu/criu.ts";
import { noteFifos, saveDescriptors } from "../criu/descriptors.ts";
import { externalForDump, hostMounts, namespacesForDump, parseMounts } from "../criu/external.ts";
import { replaceFifos } from "../criu/fifo-image.ts";
import { encodeRequest } from "../criu/rpc.ts";
import type { CheckpointSettings } from "../criu/settings.ts";
import { type ContainerRecord, isAlive, readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";
import { remove } from "./delete.ts";

const LOG_FILE = "dump.log";
const EXIT_TIMEOUT_MS = 10_000;
const O_ACCMODE = 3;

/** Checks --parent-path: it must be relative to the image, as CRIU stores it as a symlink there. */
function checkParent(sys: Sys, settings: CheckpointSettings): void {
  const { parentPath, imagePath } = settings;
  if (parentPath === undefined) return;
  if (parentPath.startsWith("/"))
    throw new BerthError(
      "invalid_argument",
      `--parent-path: found ${parentPath}, expected a path relative to --image-path`,
      {
        stage: "flags",
      },
    );
  const path = `${imagePath}/${parentPath}`;
  if (sys.stat(path)?.kind !== "folder")
    throw new BerthError(
      "invalid_argument",
      `--parent-path: found no folder ${path}, expected an earlier image`,
      {
        stage: "flags",
        path,
        hint: "make one with --pre-dump, and name it relative to --image-path",
      },
    );
}

/** Checks that --status-fd is writable; otherwise its reader would wait forever. */
function checkStatusFd(sys: Sys, fd: number): void {
  const flags = /^flags:\s*([0-7]+)/m.exec(sys.readTextIfAny(`/proc/self/fdinfo/${fd}`) ?? "")?.[1];
  const mode = flags === undefined ? undefined : Number.parseInt(flags, 8) & O_ACCMODE;
  if (mode === linux.O_WRONLY || mode === linux.O_RDWR) return;
  throw new BerthError(
    "invalid_argument",
    `--status-fd: found ${fd}, which is ${mode === undefined ? "not open" : "not open for writing"}`,
    { stage: "flags" },
  );
}

/** Resolves symlinks of a path in the container; returns the path itself if it does not exist. */
function resolveIn(sys: Sys, root: string, path: string): string {
  try {
    const fd = sys.openInRoot(root, path, linux.O_PATH);
    try {
      return sys.readlink(`/proc/self/fd/${fd}`) ?? path;
    } finally {
      sys.close(fd);
    }
  } catch (error) {
    if (isCode(error, "not_found")) return path;
    throw error;
  }
}

/** Waits for the init process to exit: CRIU kills what it has dumped, but does not wait for it. */
async function waitForExit(sys: Sys, record: ContainerRecord): Promise<void> {
  for (let waited = 0, step = 0.5; isAlive(sys, record); waited += step, step = Math.min(2 * step, 50)) {
    if (waited > EXIT_TIMEOUT_MS)
      throw new BerthError("deadline_exceeded", `process ${record.pid} outlived its checkpoint`, {
        stage: "criu",
        hint: "look at its state in ps: T is stopped, D hangs in the kernel",
      });
    await sys.sleep(step);
  }
}

/** Dumps a running or paused container, and removes it unless leaveRunning or preDump is set. */
export async function checkpoint(runtime: Runtime, id: string, settings: CheckpointSettings): Promise<void> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  const status = statusOf(sys, root, record);
  if (status !== "running" && status !== "paused") {
    throw new BerthError("failed_precondition", `Container cannot be checkpointed in ${status} state`, {
      stage: "checkpoint",
    });
  }
  sys.mkdirAll(settings.imagePath, 0o700);
  checkParent(sys, settings);
  if (settings.preDump) await requireFeature(sys, "memoryTracking");
  if (settings.lazyPages) {
    await requireFeature(sys, "lazyPages");
    if (settings.statusFd !== undefined) checkStatusFd(sys, settings.statusFd);
  }
  const spec = readCreatedSpec(sys, root, id);
  const proc = `/proc/${record.pid}`;
  const external = settings.preDump
    ? []
    : externalForDump(
        spec,
        hostMounts(spec, record.bundle, runtime.layout(), record.cgroup),
        parseMounts(sys.readText(`${proc}/mountinfo`)),
        (path) => resolveIn(sys, `${proc}/root`, path),
      );
  external.push(
    ...namespacesForDump(spec.linux?.namespaces ?? [], (file) => sys.stat(`${proc}/ns/${file}`)?.ino ?? 0),
  );
  if (!settings.preDump) external.push(...saveDescriptors(sys, settings.imagePath, record));
  const folders = openFolders(sys, settings.imagePath, settings.workPath);
  let { statusFd } = settings;
  try {
    const request = encodeRequest(settings.preDump ? "preDump" : "dump", {
      imageFolder: folders.imageFolder,
      workFolder: folders.workFolder,
      logFile: LOG_FILE,
      root: record.rootfs,
      pid: record.pid,
      leaveRunning: settings.leaveRunning,
      tcpEstablished: settings.tcpEstablished,
      tcpSkipInFlight: settings.tcpSkipInFlight,
      linkRemap: settings.linkRemap,
      externalUnixSockets: settings.externalUnixSockets,
      shellJob: settings.shellJob,
      fileLocks: settings.fileLocks,
      autoDedup: settings.autoDedup,
      lazyPages: settings.lazyPages,
      emptyNamespaces: settings.emptyNamespaces,
      cgroupMode: settings.cgroupMode,
      networkLock: settings.networkLock,
      freezerCgroup: record.cgroup.v1.freezer ?? record.cgroup.unified,
      pageServer: settings.pageServer,
      parentImage: settings.parentPath,
      trackMemory: settings.parentPath !== undefined || settings.preDump,
      external,
      configFile: criuConfig(sys, spec),
    });
    const response = await runWorker(sys, request, (script) => {
      // The image is complete and the page server is listening: a restore may begin.
      if (script !== "status-ready" || statusFd === undefined) return;
      sys.write(statusFd, new Uint8Array(1));
      sys.close(statusFd);
      statusFd = undefined;
    });
    if (!response.success)
      throw criuFailure(sys, `dump container ${id}`, response, `${folders.logFolder}/${LOG_FILE}`);
  } finally {
    folders.close();
  }
  if (settings.preDump) return;
  noteFifos(sys, settings.imagePath, replaceFifos(sys, settings.imagePath));
  if (settings.leaveRunning) return;
  await waitForExit(sys, record);
  await remove(runtime, id, false);
}

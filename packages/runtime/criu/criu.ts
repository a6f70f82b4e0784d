/** Finds CRIU, runs it as a worker, and reports its failures. */
import { BerthError } from "@berth/base";
import { findProgram, linux, type Sys, searchPath } from "@berth/sys";
import { type NotifyHandler, sendRequest } from "./conversation.ts";
import { type CriuResponse, encodeFeatureCheck } from "./rpc.ts";

/** A log larger than this many bytes is not searched for errors. */
const LOG_LIMIT = 16 << 20;

/** Finds the absolute path of `criu`; "failed_precondition" if it is not installed. */
export function findCriu(sys: Sys): string {
  const found = findProgram(sys, "criu");
  if (found !== undefined) return found;
  throw new BerthError("failed_precondition", "criu was not found in $PATH", {
    stage: "criu",
    hint: "install CRIU (Debian: criu), version 3.15 or later; `criu check` tells what this kernel allows",
  });
}

/** Open descriptors of the directories that are passed to CRIU; `close` closes them. */
export interface CriuFolders {
  imageFolder: number;
  workFolder: number | undefined;
  /** Path of the directory that the log is written to. */
  logFolder: string;
  close(): void;
}

/**
 * Opens the image directory and the work directory, if there is one, which is created. With `worker`, they are opened in
 * that process's mount namespace, as CRIU mounts something in its work directory.
 */
export function openFolders(sys: Sys, image: string, work: string | undefined, worker?: number): CriuFolders {
  if (work !== undefined) sys.mkdirAll(work, 0o700);
  // Symlinks are resolved first: an absolute one would lead out of the worker's root.
  const open = (path: string) =>
    sys.open(worker === undefined ? path : `/proc/${worker}/root${sys.realpath(path)}`, linux.O_DIRECTORY);
  const imageFolder = open(image);
  let workFolder: number | undefined;
  try {
    if (work !== undefined) workFolder = open(work);
  } catch (error) {
    sys.close(imageFolder);
    throw error;
  }
  const close = () => {
    sys.close(imageFolder);
    if (workFolder !== undefined) sys.close(workFolder);
  };
  return { imageFolder, workFolder, logFolder: work ?? image, close };
}

/** Without CAP_SYS_RESOURCE, CRIU logs this error in every run and continues. */
const HARMLESS = /rlimit: Can't setup RLIMIT_NOFILE for self/;

/** The last errors in CRIU's log, without timestamps. */
export function lastErrors(log: string, max = 3): string[] {
  return log
    .split("\n")
    .filter((line) => /\bError\b/.test(line) && !HARMLESS.test(line))
    .map((line) => line.replace(/^\(\d+\.\d+\)\s*/, "").trim())
    .slice(-max);
}

/** The error for a failed request, with the last errors in CRIU's log and the log's path. */
export function criuFailure(sys: Sys, what: string, response: CriuResponse, logPath: string): BerthError {
  const size = sys.stat(logPath)?.size ?? 0;
  const errors = size > 0 && size <= LOG_LIMIT ? lastErrors(sys.readTextIfAny(logPath) ?? "") : [];
  if (errors.length === 0 && response.message !== undefined) errors.push(response.message);
  const why = errors.length === 0 ? `errno ${response.errno}` : errors.join("; ");
  return new BerthError("internal", `criu failed to ${what}: ${why}`, {
    stage: "criu",
    path: logPath,
    hint: `read ${logPath}; \`criu check --all\` tells what this kernel lacks`,
  });
}

/** Waits for a child to exit, and reaps it. */
export async function reapChild(sys: Sys, pid: number): Promise<void> {
  for (let step = 0.5; sys.reap(pid) === undefined && sys.kill(pid, 0); step = Math.min(2 * step, 50))
    await sys.sleep(step);
}

/** Runs `criu swrk` in the caller's namespaces for one request, and waits for it to exit. */
export async function runWorker(
  sys: Sys,
  request: Uint8Array,
  onNotify: NotifyHandler = () => {},
): Promise<CriuResponse> {
  const path = findCriu(sys);
  const devNull = sys.open("/dev/null", linux.O_RDWR);
  const [ours, theirs] = sys.socketPair("packets");
  let pid: number;
  try {
    pid = sys.spawn({
      path,
      argv: ["criu", "swrk", "3"],
      env: [`PATH=${searchPath(sys)}`],
      fds: [devNull, devNull, devNull, theirs],
    });
  } catch (error) {
    sys.close(ours);
    throw error;
  } finally {
    sys.close(theirs);
    sys.close(devNull);
  }
  try {
    return await sendRequest(sys, ours, request, onNotify);
  } finally {
    // CRIU exits when its socket is closed.
    sys.close(ours);
    await reapChild(sys, pid);
  }
}

/** Throws "failed_precondition" if CRIU or the kernel lacks a feature. */
export async function requireFeature(sys: Sys, feature: "memoryTracking" | "lazyPages"): Promise<void> {
  const response = await runWorker(sys, encodeFeatureCheck(feature));
  if (response.success && response.features[feature]) return;
  const [flag, lacks] =
    feature === "memoryTracking"
      ? ["--pre-dump", "dirty memory tracking (CONFIG_MEM_SOFT_DIRTY)"]
      : ["--lazy-pages", "userfaultfd with its events"];
  throw new BerthError("failed_precondition", `${flag}: criu or this kernel lacks ${lacks}`, {
    stage: "criu",
    hint: "leave the flag out; `criu check --all` tells what is missing",
  });
}

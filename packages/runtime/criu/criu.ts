/** Finding CRIU, starting it as a worker, and telling why it failed. */
import { BerthError } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { ask, type NotifyHandler } from "./conversation.ts";
import { type CriuAnswer, encodeFeatureCheck } from "./rpc.ts";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** CRIU's log of a long dump: what is behind this is not looked at. */
const LOG_LIMIT = 16 << 20;

/** PATH as CRIU gets it, which calls iptables, ip and tar by name. */
export function searchPath(sys: Sys): string {
  return sys.env("PATH") || DEFAULT_PATH;
}

/** Absolute path of `criu`; "failed_precondition" when it is not installed. */
export function findCriu(sys: Sys): string {
  for (const folder of searchPath(sys).split(":")) {
    const path = `${folder}/criu`;
    if (folder.startsWith("/") && sys.stat(path)?.kind === "file") return path;
  }
  throw new BerthError("failed_precondition", "criu was not found in $PATH", {
    stage: "criu",
    hint: "install CRIU (Debian: criu), version 3.15 or later; `criu check` tells what this kernel allows",
  });
}

/** The folders that CRIU gets, opened; `close` gives them up. */
export interface CriuFolders {
  imageFolder: number;
  workFolder: number | undefined;
  /** Where the log is. */
  logFolder: string;
  close(): void;
}

/**
 * Opens the image's folder and, where it is another, that of CRIU's log; makes the latter. With `worker`, they are opened
 * in the mount namespace of that process: CRIU mounts something in its working folder.
 */
export function openFolders(sys: Sys, image: string, work: string | undefined, worker?: number): CriuFolders {
  if (work !== undefined) sys.mkdirAll(work, 0o700);
  // Without links, which would lead from the worker's root back to ours.
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

/** Without CAP_SYS_RESOURCE CRIU says this of every run, and goes on. */
const HARMLESS = /rlimit: Can't setup RLIMIT_NOFILE for self/;

/** The last errors of CRIU's log, without time stamps. */
export function lastErrors(log: string, most = 3): string[] {
  return log
    .split("\n")
    .filter((line) => /\bError\b/.test(line) && !HARMLESS.test(line))
    .map((line) => line.replace(/^\(\d+\.\d+\)\s*/, "").trim())
    .slice(-most);
}

/** Why CRIU refused: its own last errors, and where the rest stands. */
export function criuFailure(sys: Sys, what: string, answer: CriuAnswer, logPath: string): BerthError {
  const size = sys.stat(logPath)?.size ?? 0;
  const errors = size > 0 && size <= LOG_LIMIT ? lastErrors(sys.readTextIfAny(logPath) ?? "") : [];
  if (errors.length === 0 && answer.message !== undefined) errors.push(answer.message);
  const why = errors.length === 0 ? `errno ${answer.errno}` : errors.join("; ");
  return new BerthError("internal", `criu failed to ${what}: ${why}`, {
    stage: "criu",
    path: logPath,
    hint: `read ${logPath}; \`criu check --all\` tells what this kernel lacks`,
  });
}

/** Waits for a child to be gone. */
export async function reapChild(sys: Sys, pid: number): Promise<void> {
  for (let step = 0.5; sys.reap(pid) === undefined && sys.kill(pid, 0); step = Math.min(2 * step, 50))
    await sys.sleep(step);
}

/** Starts `criu swrk` in our own namespaces, has one request answered, and waits for its end. */
export async function runWorker(
  sys: Sys,
  request: Uint8Array,
  onNotify: NotifyHandler = () => {},
): Promise<CriuAnswer> {
  const path = findCriu(sys);
  const nothing = sys.open("/dev/null", linux.O_RDWR);
  const [ours, theirs] = sys.socketPair("packets");
  let pid: number;
  try {
    pid = sys.spawn({
      path,
      argv: ["criu", "swrk", "3"],
      env: [`PATH=${searchPath(sys)}`],
      fds: [nothing, nothing, nothing, theirs],
    });
  } catch (error) {
    sys.close(ours);
    throw error;
  } finally {
    sys.close(theirs);
    sys.close(nothing);
  }
  try {
    return await ask(sys, ours, request, onNotify);
  } finally {
    // The end of the conversation is CRIU's sign to leave.
    sys.close(ours);
    await reapChild(sys, pid);
  }
}

/** Refuses what CRIU or the kernel cannot do. */
export async function requireFeature(sys: Sys, feature: "memoryTracking" | "lazyPages"): Promise<void> {
  const answer = await runWorker(sys, encodeFeatureCheck(feature));
  if (answer.success && answer.features[feature]) return;
  const [flag, lacks] =
    feature === "memoryTracking"
      ? ["--pre-dump", "dirty memory tracking (CONFIG_MEM_SOFT_DIRTY)"]
      : ["--lazy-pages", "userfaultfd with its events"];
  throw new BerthError("failed_precondition", `${flag}: criu or this kernel lacks ${lacks}`, {
    stage: "criu",
    hint: "leave the flag out; `criu check --all` tells what is missing",
  });
}

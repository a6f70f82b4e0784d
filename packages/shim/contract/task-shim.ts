/**
 * The Task service of a shim, as the engine (in process) and ttrpc (out of process) see it.
 *
 * Names and meaning are those of containerd's `containerd.task.v3.Task`; a process is named by its container's
 * namespace and id, plus an exec id for the processes that were added to it ("" names the init process).
 */

/** A mount that makes up a container's root file system, as the snapshotter returned it. */
import type { Any } from "@bufbuild/protobuf/wkt";

export interface RootfsMount {
  type: string;
  source: string;
  /** Sub-folder of the rootfs; "" or absent for the rootfs itself. */
  target?: string;
  options: readonly string[];
}

/**
 * Where the standard streams go. Each is one of
 * - "" : nowhere (/dev/null)
 * - an absolute path or fifo:// URI: a FIFO that the client made and reads or writes
 * - file:///path : appended to that file
 * - binary:///path?key=value : a logging program of containerd's protocol, for stdout and stderr (the same URI for both):
 *   it gets stdout as descriptor 3, stderr as 4, closes 5 when it is ready, and is started with "key value" as arguments
 * - cri-log:///path?attach=/fifo&max-size=BYTES&max-files=N : stdout and stderr written as CRI log lines to the file (the
 *   same path for both); `attach` names a FIFO that also gets the raw bytes; at some BYTES the file becomes path.1, that
 *   path.2 and so on, N files in all. What stdout's says of the file counts
 * With a terminal, stdin and stdout carry it and stderr is unused.
 */
export interface Stdio {
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
}

/** A process of a container: `execId` "" is its init. */
export interface ProcessRef {
  namespace: string;
  id: string;
  execId?: string;
}

/** How the runtime is to make a container, beyond its config: the fields of containerd.runc.v1.Options that apply. */
export interface TaskOptions {
  noPivotRoot?: boolean;
  noNewKeyring?: boolean;
  systemdCgroup?: boolean;
  /** Folder for CRIU's logs. */
  criuWorkPath?: string;
  /** Folder for images of a checkpoint that names none. */
  criuImagePath?: string;
  /** Folder below which the runtime keeps a folder of records for each namespace; default: the shim's own. */
  root?: string;
}

export interface CreateTask extends ProcessRef {
  stdio: Stdio;
  /** The runtime-spec config, as JSON text. Left out where `bundle` names a folder that has it. */
  spec?: Uint8Array;
  /** Absolute path of the caller's own bundle, which the caller removes; none: the shim makes one. */
  bundle?: string;
  rootfs: readonly RootfsMount[];
  options?: TaskOptions;
  /** Name of another's runtime, whose shim is to be driven, with the options it is given; none: berth's own. */
  runtime?: string;
  runtimeOptions?: Any;
  /** Folder of a checkpoint to restore the processes from. */
  checkpoint?: string;
}

/** What a checkpoint is to be like: the fields of containerd.runc.v1.CheckpointOptions. */
export interface CheckpointTask {
  /** Absolute path of the folder that takes the image. */
  path: string;
  /** End the container once it is written. */
  exit: boolean;
  openTcp?: boolean;
  externalUnixSockets?: boolean;
  terminal?: boolean;
  fileLocks?: boolean;
  emptyNamespaces?: readonly string[];
  cgroupsMode?: string;
  /** Folder for CRIU's log. */
  workPath?: string;
  /** An earlier image, relative to `path`. */
  parentPath?: string;
}

export interface ExecTask extends ProcessRef {
  execId: string;
  stdio: Stdio;
  /** The runtime-spec `process` object, as JSON text. */
  process: Uint8Array;
}

/** How a process ended. */
export interface Exit {
  /** Exit code, or 128 + signal. */
  exitStatus: number;
  /** Nanoseconds since the epoch. */
  exitedAt: bigint;
}

export type TaskStatus = "created" | "running" | "stopped" | "paused" | "pausing";

export interface TaskState extends Exit {
  namespace: string;
  id: string;
  execId: string;
  pid: number;
  status: TaskStatus;
  bundle: string;
  stdio: Stdio;
}

/** An event as the shim saw it; the engine packs it into containerd's `containerd.events.*` messages. */
export type TaskEvent =
  | {
      topic: "/tasks/create";
      namespace: string;
      id: string;
      pid: number;
      bundle: string;
      stdio: Stdio;
      rootfs: readonly RootfsMount[];
    }
  | { topic: "/tasks/start"; namespace: string; id: string; pid: number }
  | ({ topic: "/tasks/exit"; namespace: string; id: string; execId: string; pid: number } & Exit)
  | ({ topic: "/tasks/delete"; namespace: string; id: string; execId: string; pid: number } & Exit)
  | { topic: "/tasks/exec-added"; namespace: string; id: string; execId: string }
  | { topic: "/tasks/exec-started"; namespace: string; id: string; execId: string; pid: number }
  | { topic: "/tasks/paused" | "/tasks/resumed"; namespace: string; id: string }
  /** The out-of-memory killer was in the container; `cgroup` is the one whose limit was met, as far as it can be told. */
  | { topic: "/tasks/oom"; namespace: string; id: string; cgroup: string | undefined }
  | { topic: "/tasks/checkpointed"; namespace: string; id: string; path: string };

/** The Task service; every failure is a BerthError. */
export interface TaskShim {
  /** Finds the tasks that an earlier daemon left (running or ended) and takes them over. Call once, first. */
  recover(): Promise<void>;
  /**
   * Creates the container up to its exec FIFO; "already_exists" when the task exists. The same request, made once more
   * while the first is at work, gets its result. When `signal` aborts (for all who ask), what was made is undone.
   */
  create(request: CreateTask, signal?: AbortSignal): Promise<{ pid: number }>;
  /** Starts the init process, or an added one, unless `signal` aborts before its turn has come. */
  start(ref: ProcessRef, signal?: AbortSignal): Promise<{ pid: number }>;
  /** Deletes a stopped process; deleting the init ("") deletes the task. "failed_precondition" while it runs. */
  delete(ref: ProcessRef): Promise<Exit & { pid: number }>;
  /** Adds a process; it begins to run with `start`. */
  exec(request: ExecTask): Promise<void>;
  state(ref: ProcessRef): TaskState;
  /** Init processes of all tasks of a namespace, or of all namespaces. */
  list(namespace?: string): TaskState[];
  /** Sends a signal to one process, or to all of the container. "not_found" when it has ended. */
  kill(ref: ProcessRef, signal: number, all: boolean): Promise<void>;
  /** Writes the container's processes to a folder, with CRIU. */
  checkpoint(ref: ProcessRef, request: CheckpointTask): Promise<void>;
  pause(ref: ProcessRef): Promise<void>;
  resume(ref: ProcessRef): Promise<void>;
  resizePty(ref: ProcessRef, width: number, height: number): Promise<void>;
  /** Closes the shim's hold on stdin, so that the process sees end of file when the client has closed too. */
  closeIO(ref: ProcessRef): Promise<void>;
  /** Every process in the container: host pid, and the exec id where it is one that was added. */
  pids(ref: ProcessRef): Promise<{ pid: number; execId?: string }[]>;
  /** Resolves when the process has ended, at once if it already has. */
  wait(ref: ProcessRef, signal?: AbortSignal): Promise<Exit>;
  /** Changes limits: `resources` is runtime-spec's linux.resources, as JSON text. */
  update(ref: ProcessRef, resources: Uint8Array): Promise<void>;
  /** cgroup statistics: io.containerd.cgroups.v1.Metrics or .v2.Metrics. */
  stats(ref: ProcessRef): Promise<Any>;
  /** Calls `listener` for every event from now on; returns how to stop. */
  onEvent(listener: (event: TaskEvent) => void): () => void;
  /** Lets go of keepers and sockets; containers keep running. */
  close(): Promise<void>;
}

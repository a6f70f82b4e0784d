/**
 * The Task service of a shim, used by the engine (in process) and over ttrpc (out of process).
 *
 * Names and semantics are those of containerd's `containerd.task.v3.Task`. A process is identified by the namespace and id
 * of its container, and by an exec id if it was added later ("" for the init process).
 */
import type { Any } from "@bufbuild/protobuf/wkt";

/** A mount of a container's root file system, as returned by the snapshotter. */
export interface RootfsMount {
  type: string;
  source: string;
  /** Folder below the rootfs; "" or absent for the rootfs itself. */
  target?: string;
  options: readonly string[];
}

/**
 * Standard streams. Each is one of
 * - "": /dev/null
 * - an absolute path or fifo:// URI: a FIFO that the client created and reads or writes
 * - file:///path: appended to that file
 * - binary:///path?key=value: a logging program by containerd's protocol, for stdout and stderr (the same URI for both): it
 *   reads stdout at descriptor 3 and stderr at 4, closes 5 when it is ready, and gets "key value" as arguments
 * - cri-log:///path?attach=/fifo&max-size=BYTES&max-files=N: stdout and stderr as CRI log lines in one file (the same path
 *   for both); `attach` is a FIFO that also gets the raw bytes. At about BYTES the file is rotated to path.1, that to path.2
 *   and so on, N files in all; the parameters of stdout count
 * With a terminal, stdin and stdout belong to it and stderr is unused.
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

/** Options of the runtime beyond config.json: the supported fields of containerd.runc.v1.Options. */
export interface TaskOptions {
  noPivotRoot?: boolean;
  noNewKeyring?: boolean;
  systemdCgroup?: boolean;
  /** Folder for CRIU's logs. */
  criuWorkPath?: string;
  /** Default folder for images of checkpoints. */
  criuImagePath?: string;
  /** Folder of the runtime's records, one folder per namespace. Default: the shim's own. */
  root?: string;
  /** Cgroup of the processes beside the container: its keepers. It exists. */
  shimCgroup?: string;
  /** Owner, on the host, of the FIFOs and pipes of the standard streams: root of a user namespace. */
  ioOwner?: { uid: number; gid: number };
}

/** The shim of a sandbox, which has the sandbox's tasks too. */
export interface SandboxShim {
  /** The sandbox's id. */
  id: string;
  /** Absolute path of the shim's executable. */
  program: string;
  /** Version of its Task service, and where that is. */
  version: number;
  address: string;
}

export interface CreateTask extends ProcessRef {
  stdio: Stdio;
  /** config.json of the runtime spec; not needed if `bundle` has one. */
  spec?: Uint8Array;
  /** Absolute path of a bundle that the caller owns and removes. Default: the shim creates one. */
  bundle?: string;
  rootfs: readonly RootfsMount[];
  options?: TaskOptions;
  /** Name of a foreign runtime and the options for its shim. Default: berth's own runtime. */
  runtime?: string;
  runtimeOptions?: Any;
  /** Shim of the sandbox that the container is in; with `runtime`. */
  sandbox?: SandboxShim;
  /** Folder of a checkpoint to restore the processes from. */
  checkpoint?: string;
}

/** Options of a checkpoint: the fields of containerd.runc.v1.CheckpointOptions. */
export interface CheckpointTask {
  /** Absolute path of the image's folder. */
  path: string;
  /** End the container afterwards. */
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
  /** `process` object of the runtime spec, as JSON. */
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

/** An event of a task; see {@link eventMessage} for containerd's form of it. */
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
  /** An OOM kill in the container; `cgroup` is the one whose limit was hit, if known. */
  | { topic: "/tasks/oom"; namespace: string; id: string; cgroup: string | undefined }
  | { topic: "/tasks/checkpointed"; namespace: string; id: string; path: string };

/** The Task service; every failure is a BerthError. */
export interface TaskShim {
  /** Takes over the tasks of an earlier daemon, running or stopped. Call it once, first. */
  recover(): Promise<void>;
  /**
   * Creates the container up to its exec FIFO; "already_exists" if the task exists. The same request, repeated during the
   * first, gets the same result. Once `signal` has aborted for all callers, the create is undone.
   */
  create(request: CreateTask, signal?: AbortSignal): Promise<{ pid: number }>;
  /** Starts the init process, or an added one, unless `signal` aborts while it is queued. */
  start(ref: ProcessRef, signal?: AbortSignal): Promise<{ pid: number }>;
  /** Deletes a stopped process; deleting the init ("") deletes the task. "failed_precondition" while it runs. */
  delete(ref: ProcessRef): Promise<Exit & { pid: number }>;
  /** Adds a process; `start` launches it. */
  exec(request: ExecTask): Promise<void>;
  state(ref: ProcessRef): TaskState;
  /** Init processes of a namespace, or of all namespaces. */
  list(namespace?: string): TaskState[];
  /** Signals one process, or all of the container. "not_found" if it has ended. */
  kill(ref: ProcessRef, signal: number, all: boolean): Promise<void>;
  /** Writes the container's processes to a folder, with CRIU. */
  checkpoint(ref: ProcessRef, request: CheckpointTask): Promise<void>;
  pause(ref: ProcessRef): Promise<void>;
  resume(ref: ProcessRef): Promise<void>;
  resizePty(ref: ProcessRef, width: number, height: number): Promise<void>;
  /** Closes the shim's end of stdin: the process sees end of file once the client has closed, too. */
  closeIO(ref: ProcessRef): Promise<void>;
  /** Host pids of all processes in the container, with the exec ids of added ones. */
  pids(ref: ProcessRef): Promise<{ pid: number; execId?: string }[]>;
  /** Resolves with the exit, at once if the process has ended. */
  wait(ref: ProcessRef, signal?: AbortSignal): Promise<Exit>;
  /** Changes limits; `resources` is linux.resources of the runtime spec, as JSON. */
  update(ref: ProcessRef, resources: Uint8Array): Promise<void>;
  /** Statistics of the cgroup: io.containerd.cgroups.v1.Metrics or .v2.Metrics. */
  stats(ref: ProcessRef): Promise<Any>;
  /**
   * Takes an event that the shim of another process has sent; returns whether it is about a task of such a shim. Listeners
   * are not called: whoever calls this passes it on.
   */
  observe(event: TaskEvent): boolean;
  /** Calls `listener` for each event; returns how to unsubscribe. */
  onEvent(listener: (event: TaskEvent) => void): () => void;
  /** Closes connections and sockets; containers keep running. */
  close(): Promise<void>;
}

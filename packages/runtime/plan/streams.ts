/** Operations for the process's standard streams, and for the keeper at their other ends. */
import { LOG_MODE } from "@berth/base";
import { linux } from "@berth/sys";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { PlanBuilder } from "./builder.ts";

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = linux;

/** Device 1:3, in the format of `check_device`. */
const NULL_DEVICE = (1n << 32n) | 3n;

const utf8 = new TextEncoder();

/** Mode of the exit record and the keeper's socket. */
const KEEPER_MODE = 0o600;

/** What a stream is connected to; "inherited" is the inherited descriptor in this slot. */
export type Stream =
  | { kind: "null" }
  | { kind: "fifo"; path: string }
  | { kind: "file"; path: string }
  | { kind: "inherited"; slot: number };

/** The standard streams of a process. */
export interface Streams {
  stdin: Stream;
  stdout: Stream;
  stderr: Stream;
  /** CRI log file for stdout and stderr; the streams above then receive copies of the raw bytes. */
  log?: string;
  /** When the log is rotated; by default never. */
  rotation?: LogRotation;
  /** Owner of FIFOs and pipes on the host, for a process in a user namespace; by default as they are made. */
  owner?: { uid: number; gid: number };
}

/** Log rotation: at `bytes`, PATH is renamed to PATH.1, PATH.1 to PATH.2 and so on; at most `files` files are kept. */
export interface LogRotation {
  bytes: number;
  files: number;
}

/** The keeper's configuration. */
export interface KeeperPlan {
  /** Directory of the exit record and the socket. */
  folder: string;
  /** File name of the exit record. */
  exitName: string;
  /** Path of the keeper's socket. */
  socket: string;
  streams: Streams;
  /** Folders of the keeper's cgroup; none: it stays in its parent's. */
  cgroup: readonly string[];
}

function openStream(b: PlanBuilder, stream: Stream, direction: "in" | "out", name: string): number {
  if (stream.kind === "inherited") return stream.slot;
  const slot = b.slot();
  if (stream.kind === "fifo") {
    b.add("setup", `open ${name}, the FIFO ${stream.path}`, direction === "in" ? "fifo_in" : "fifo_out", [
      slot,
      stream.path,
    ]);
  } else if (stream.kind === "file") {
    b.add("setup", `open ${name}, the file ${stream.path}`, "open", [
      slot,
      stream.path,
      direction === "in" ? O_RDONLY : O_WRONLY | O_CREAT | O_APPEND,
      0o640,
    ]);
  } else {
    b.add("setup", `open /dev/null as ${name}`, "open", [slot, "/dev/null", O_RDWR, 0]);
  }
  return slot;
}

/** Opens the client's end of a copy or relay, such that the keeper notices when the client is gone. */
function openCopy(b: PlanBuilder, stream: Stream, direction: "in" | "out", name: string): number {
  if (stream.kind === "null") return -1;
  if (stream.kind !== "fifo") return openStream(b, stream, direction, name);
  // Opened for reading and writing first: opening one end of a FIFO blocks until the other is open.
  const both = b.slot();
  b.add("setup", `hold the FIFO ${stream.path}`, "open", [both, stream.path, O_RDWR | O_NONBLOCK, 0]);
  const slot = b.slot();
  b.add("setup", `open ${name}, the FIFO ${stream.path}`, "open", [
    slot,
    stream.path,
    direction === "in" ? 0 : 1,
    0,
  ]);
  return slot;
}

/** Where a terminal's master comes from: the new process, or the keeper's command TERMINAL; "none" without a terminal. */
export type TerminalSource = "none" | "process" | "command";

/** Adds the keeper's operations; returns the slots of the process's streams, empty with a terminal. */
export function planKeeper(b: PlanBuilder, keeper: KeeperPlan, terminal: TerminalSource): number[] {
  b.stage("streams");
  b.parent = "keep";
  for (const cgroup of keeper.cgroup)
    b.add("setup", `move the keeper into ${cgroup}`, "write", [`${cgroup}/cgroup.procs`, utf8.encode("0")]);
  const folder = b.slot();
  b.add("setup", `open ${keeper.folder}`, "open", [folder, keeper.folder, O_DIRECTORY, 0]);
  b.add("setup", `record the exit in ${keeper.exitName}`, "keep", [folder, keeper.exitName, KEEPER_MODE]);
  b.add("setup", `listen on ${keeper.socket}`, "listen", [keeper.socket, KEEPER_MODE]);
  const { streams } = keeper;
  const files = [streams.rotation?.bytes ?? 0, streams.rotation?.files ?? 1, LOG_MODE];
  if (terminal !== "none") {
    const input = openCopy(b, streams.stdin, "in", "stdin");
    const output = openCopy(b, streams.stdout, "out", "stdout");
    if (streams.log !== undefined)
      b.add("setup", `log to ${streams.log}`, "log", [streams.log, -1, -1, -1, -1, ...files]);
    b.add("after", "relay the terminal", "relay", [input, output, 0, terminal === "process" ? 1 : 0]);
    return [];
  }
  const slots = planStreams(b, streams, files);
  const { owner } = streams;
  if (owner !== undefined)
    for (const [i, name] of (["stdin", "stdout", "stderr"] as const).entries()) {
      const { kind } = streams[name];
      if (kind === "fifo" || (streams.log !== undefined && i > 0))
        b.add("setup", `give ${name} to ${owner.uid}:${owner.gid}`, "own_slot", [
          slots[i]!,
          owner.uid,
          owner.gid,
        ]);
    }
  return slots;
}

/** Opens the process's streams, or makes pipes into the log. */
function planStreams(b: PlanBuilder, streams: Streams, files: readonly number[]): number[] {
  const stdin = openStream(b, streams.stdin, "in", "stdin");
  if (streams.log === undefined) {
    return [
      stdin,
      openStream(b, streams.stdout, "out", "stdout"),
      openStream(b, streams.stderr, "out", "stderr"),
    ];
  }
  const stdout = b.slot();
  const stderr = b.slot();
  const copies = [openCopy(b, streams.stdout, "out", "stdout"), openCopy(b, streams.stderr, "out", "stderr")];
  b.add("setup", `log to ${streams.log}`, "log", [streams.log, stdout, stderr, ...copies, ...files]);
  return [stdin, stdout, stderr];
}

/** Adds the keeper's watch for OOM kills in the container's cgroup. */
export function planOomWatch(b: PlanBuilder, cgroup: CgroupPaths): void {
  const { memory } = cgroup.v1;
  // Optional: a host may lack the controller or its OOM counter.
  const options = { optional: true };
  b.stage("streams");
  if (memory !== undefined)
    b.add(
      "setup",
      `watch ${memory} for lack of memory`,
      "watch_oom",
      [1, memory, "memory.oom_control"],
      options,
    );
  else if (cgroup.unified !== undefined)
    b.add(
      "setup",
      `watch ${cgroup.unified} for lack of memory`,
      "watch_oom",
      [2, cgroup.unified, "memory.events"],
      options,
    );
}

/** Ignored errors of the streams' chown: closed, not permitted, a user without a mapping, a read-only file system. */
const IGNORED_CHOWN_ERRORS = [linux.EBADF, linux.EPERM, linux.EINVAL, linux.EROFS] as const;

/** Adds the operation that gives descriptors 0 to 2 to the process's user. */
export function planStdioOwner(b: PlanBuilder, uid: number): void {
  b.stage("streams").add("child", `give the standard streams to user ${uid}`, "own_stdio", [
    uid,
    NULL_DEVICE,
    ...IGNORED_CHOWN_ERRORS,
  ]);
}

/** Adds the operations that dup slots to descriptors 0, 1 and 2. */
export function planStdio(b: PlanBuilder, slots: readonly number[]): void {
  b.stage("streams");
  slots.forEach((slot, i) => {
    b.add("child", `make it descriptor ${i}`, "dup", [slot, i]);
  });
}

/**
 * Adds the operations that replace the host's /dev/null by the container's: CRIU cannot dump a file on a mount that is not in
 * the container.
 */
export function planNullStreams(b: PlanBuilder, streams: readonly number[]): void {
  if (streams.length === 0) return;
  b.stage("streams");
  const slot = b.childSlot();
  b.add("child", "open the container's /dev/null", "open", [slot, "/dev/null", O_RDWR, 0]);
  b.add("child", "check that it is the null device", "check_device", [slot, NULL_DEVICE]);
  for (const stream of streams) b.add("child", `make it descriptor ${stream}`, "dup", [slot, stream]);
  b.release(slot);
}

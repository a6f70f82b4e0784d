/** Operations for the process's standard streams, and for the keeper that holds their other ends. */
import { LOG_MODE } from "@berth/base";
import { linux } from "@berth/sys";
import type { CgroupPaths } from "../cgroups/paths.ts";
import type { PlanBuilder } from "./builder.ts";

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = linux;

/** Device 1:3 as `check_device` takes it. */
const NULL_DEVICE = (1n << 32n) | 3n;

/** Mode of the exit record and of keeper.sock. */
const KEEPER_MODE = 0o600;

/** Where one stream leads; "inherited" is a descriptor that berth-init gets in this slot. */
export type Stream =
  | { kind: "null" }
  | { kind: "fifo"; path: string }
  | { kind: "file"; path: string }
  | { kind: "inherited"; slot: number };

/** All streams of a process. */
export interface Streams {
  stdin: Stream;
  stdout: Stream;
  stderr: Stream;
  /** CRI log file that stdout and stderr are written to; the streams above then get copies of the raw bytes. */
  log?: string;
  /** When the log is begun anew; none: never. */
  rotation?: LogRotation;
}

/** How far a log grows: at some `bytes` a file becomes PATH.1, that PATH.2 and so on; there are `files` of them at most. */
export interface LogRotation {
  bytes: number;
  files: number;
}

/** The keeper's own needs. */
export interface KeeperPlan {
  /** Folder of the exit record and keeper.sock. */
  folder: string;
  /** File name of the exit record. */
  exitName: string;
  /** Path of keeper.sock. */
  socket: string;
  streams: Streams;
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

/** The other end of a copy or relay, opened so that a client that is gone is noticed. */
function openCopy(b: PlanBuilder, stream: Stream, direction: "in" | "out", name: string): number {
  if (stream.kind === "null") return -1;
  if (stream.kind !== "fifo") return openStream(b, stream, direction, name);
  // Open for both ends first: opening one end of a FIFO waits for the other.
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

/** Adds the keeper's operations; returns the slots of the process's streams, none when it gets a terminal. */
export function planKeeper(b: PlanBuilder, keeper: KeeperPlan, terminal: boolean): number[] {
  b.stage("streams");
  b.parent = "keep";
  const folder = b.slot();
  b.add("setup", `open ${keeper.folder}`, "open", [folder, keeper.folder, O_DIRECTORY, 0]);
  b.add("setup", `record the exit in ${keeper.exitName}`, "keep", [folder, keeper.exitName, KEEPER_MODE]);
  b.add("setup", `listen on ${keeper.socket}`, "listen", [keeper.socket, KEEPER_MODE]);
  const { streams } = keeper;
  const files = [streams.rotation?.bytes ?? 0, streams.rotation?.files ?? 1, LOG_MODE];
  if (terminal) {
    const input = openCopy(b, streams.stdin, "in", "stdin");
    const output = openCopy(b, streams.stdout, "out", "stdout");
    if (streams.log !== undefined)
      b.add("setup", `log to ${streams.log}`, "log", [streams.log, -1, -1, -1, -1, ...files]);
    b.add("after", "relay the terminal", "relay", [input, output, 0]);
    return [];
  }
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

/** Adds the watch for the out-of-memory killer in the container's cgroup. */
export function planOomWatch(b: PlanBuilder, cgroup: CgroupPaths): void {
  const { memory } = cgroup.v1;
  // A host without the controller, or one that does not count, has nothing to be told.
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

/** Adds the operations that make slots the process's descriptors 0, 1 and 2. */
export function planStdio(b: PlanBuilder, slots: readonly number[]): void {
  b.stage("streams");
  slots.forEach((slot, i) => {
    b.add("child", `make it descriptor ${i}`, "dup", [slot, i]);
  });
}

/**
 * Adds the operations that put the container's own /dev/null in the place of the host's: CRIU can dump no file of a mount
 * that the container does not have.
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

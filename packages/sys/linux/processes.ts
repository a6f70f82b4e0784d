/** Processes: posix_spawn, wait, signals by pid and pidfd, limits. */
import { BerthError } from "@berth/base";
import type { SpawnOptions } from "../sys.ts";
import { addon, rawSyscall, syscall, syscallError } from "./binding.ts";

const RLIMIT_NOFILE = 7;

/** posix_spawn(3): the child's pid. Signals are reset to their defaults and unblocked. */
export function spawn(options: SpawnOptions): number {
  // An executable that is named by its descriptor must not be replaced by one that the program gets.
  const own = /^\/proc\/self\/fd\/(\d+)$/.exec(options.path)?.[1];
  if (own !== undefined && Number(own) < options.fds.length)
    throw new BerthError(
      "resource_exhausted",
      `a program with ${options.fds.length} descriptors cannot be started with so low a limit on open files`,
      { stage: "spawn", errno: "EMFILE", hint: "raise ulimit -n" },
    );
  const pid = addon().spawn(options.path, options.argv, options.env, options.fds, options.setsid ?? false);
  if (pid < 0) throw syscallError("posix_spawn", -pid, options.path);
  return pid;
}

/** Exit code of a wait status: as is, or 128 + the signal. */
export function exitCodeOf(waitStatus: number): number {
  const signal = waitStatus & 0x7f;
  return signal === 0 ? (waitStatus >> 8) & 0xff : 128 + signal;
}

/** wait4(2) with WNOHANG: the exit code; undefined while the process runs, or if it is not our child. */
export function reap(pid: number): number | undefined {
  const status = new Int32Array(1);
  const result = rawSyscall("wait4", pid, status, 1, null);
  return result === pid ? exitCodeOf(status[0]!) : undefined;
}

/** kill(2); false if there is no such process. */
export function kill(pid: number, signal: number): boolean {
  const result = rawSyscall("kill", pid, signal);
  if (result === -3) return false;
  if (result < 0) throw syscallError("kill", -result);
  return true;
}

/** pidfd_open(2); undefined if there is no such process. */
export function pidfdOpen(pid: number): number | undefined {
  const fd = rawSyscall("pidfd_open", pid, 0);
  if (fd === -3 || fd === -22) return undefined;
  if (fd < 0) throw syscallError("pidfd_open", -fd);
  return fd;
}

/** pidfd_send_signal(2); false if the process is gone. */
export function pidfdSignal(pidfd: number, signal: number): boolean {
  const result = rawSyscall("pidfd_send_signal", pidfd, signal, null, 0);
  if (result === -3) return false;
  if (result < 0) throw syscallError("pidfd_send_signal", -result);
  return true;
}

/** RLIMIT_NOFILE of this process. */
export function openFileLimit(): { soft: number; hard: number } {
  const limits = new BigUint64Array(2);
  syscall("prlimit64", undefined, 0, RLIMIT_NOFILE, null, limits);
  return { soft: Number(limits[0]), hard: Number(limits[1]) };
}

/** Sets both limits of RLIMIT_NOFILE; false if that is not allowed. */
export function setOpenFileLimit(limit: number): boolean {
  const limits = new BigUint64Array([BigInt(limit), BigInt(limit)]);
  return rawSyscall("prlimit64", 0, RLIMIT_NOFILE, limits, null) >= 0;
}

/** pipe2(2), close-on-exec: [read end, write end]. */
export function pipe(): [number, number] {
  const fds = new Int32Array(2);
  syscall("pipe2", undefined, fds, 0o2000000);
  return [fds[0]!, fds[1]!];
}

/** prctl(PR_SET_CHILD_SUBREAPER): adopt orphaned descendants, or stop doing so. */
export function becomeSubreaper(on = true): void {
  syscall("prctl", undefined, 36, on ? 1 : 0, 0, 0, 0);
}

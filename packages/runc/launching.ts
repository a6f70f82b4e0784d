/** Shared by create, run and exec: flags, descriptors, the pid file, and waiting in the foreground. */
import { BerthError, signalNumber } from "@berth/base";
import type { Process } from "@berth/oci";
import type { Additions, Launched, LaunchSettings } from "@berth/runtime";
import { linux, type Sys } from "@berth/sys";
import { managerSocket, notifyAdditions } from "./notify.ts";

const MAX_PASSED = 100;

export const launchFlags = {
  "console-socket": { type: "string", help: "path of a unix socket that receives the terminal's master" },
  "pidfd-socket": { type: "string", help: "path of a unix socket that receives the process's pidfd" },
  "pid-file": { type: "string", help: "file to write the process's pid to" },
  "no-new-keyring": { type: "bool", help: "stay in the caller's session keyring" },
  "preserve-fds": { type: "number", help: "pass on that many descriptors from 3 on" },
} as const;

/** Values of {@link launchFlags}. */
export interface LaunchFlags {
  "console-socket"?: string;
  "pidfd-socket"?: string;
  "pid-file"?: string;
  "no-new-keyring"?: boolean;
  "preserve-fds"?: number;
}

/** Resolves a path against the working folder. */
export function absolute(sys: Sys, path: string): string {
  return path.startsWith("/") ? path : `${sys.cwd()}/${path}`;
}

/** Number of sockets passed by a service manager, per sd_listen_fds(3). */
export function listenFds(sys: Sys): number {
  const count = Number(sys.env("LISTEN_FDS") ?? 0);
  const ours = sys.env("LISTEN_PID") === String(sys.pid());
  return ours && Number.isInteger(count) && count > 0 && count <= MAX_PASSED ? count : 0;
}

/** Variables that announce the passed sockets to the container; its first process is pid 1 in its pid namespace. */
function listenEnv(count: number): string[] {
  return count === 0 ? [] : [`LISTEN_FDS=${count}`, "LISTEN_PID=1"];
}

/** Additions to a container from this process's environment: passed sockets, and where to send "ready". */
export function additionsOf(sys: Sys, root: string, id: string): Additions {
  const notify = managerSocket(sys) === undefined ? { env: [], mounts: [] } : notifyAdditions(root, id);
  return { env: [...listenEnv(listenFds(sys)), ...notify.env], mounts: notify.mounts };
}

/**
 * Settings of a launch, and a function that closes the descriptors opened for it. Passed on are `listen` sockets of a
 * service manager, followed by --preserve-fds.
 */
export function launchSettings(
  sys: Sys,
  flags: LaunchFlags,
  process: Process | undefined,
  detached: boolean,
  listen = 0,
): LaunchSettings & { close(): void } {
  const inherited: number[] = [];
  const opened: number[] = [];
  const preserve = flags["preserve-fds"] ?? 0;
  if (preserve < 0 || preserve > MAX_PASSED)
    throw new BerthError(
      "invalid_argument",
      `--preserve-fds: found ${preserve}, expected 0 to ${MAX_PASSED}`,
      {
        stage: "flags",
      },
    );
  for (let fd = 3; fd < 3 + listen + preserve; fd++) {
    if (sys.stat(`/proc/self/fd/${fd}`) === undefined) {
      const what =
        fd < 3 + listen
          ? `socket ${fd - 3} of LISTEN_FDS=${listen}`
          : `preserved-fd ${fd - 3 - listen} (of ${preserve})`;
      throw new BerthError(
        "invalid_argument",
        `unable to stat ${what}: no such file or directory: descriptor ${fd} is not open`,
        { stage: "flags" },
      );
    }
    inherited.push(fd);
  }
  const preserved = inherited.map((_, i) => i);
  const close = () => {
    for (const fd of opened) sys.close(fd);
  };
  const connect = (path: string): number => {
    const fd = sys.connectUnix(absolute(sys, path));
    opened.push(fd);
    inherited.push(fd);
    return inherited.length - 1;
  };
  const pidfdPath = flags["pidfd-socket"];
  const settings = {
    stdio: [0, 1, 2] as const,
    inherited,
    preserved,
    noNewKeyring: flags["no-new-keyring"] ?? false,
    ...(pidfdPath === undefined ? {} : { pidfdSocket: connect(pidfdPath) }),
  };
  const socket = flags["console-socket"];
  if (socket !== undefined) {
    if (!detached)
      throw new BerthError(
        "invalid_argument",
        "cannot use console socket if runc will not detach or allocate tty",
        { stage: "console", hint: "add --detach, or leave --console-socket out" },
      );
    return { ...settings, attachment: { kind: "console-socket", slot: connect(socket) }, close };
  }
  if (process?.terminal && !detached) {
    inherited.push(0, 1);
    const nothing = sys.open("/dev/null", linux.O_RDWR);
    opened.push(nothing);
    const slots = { input: inherited.length - 2, output: inherited.length - 1 };
    return { ...settings, attachment: { kind: "foreground", ...slots }, close };
  }
  return { ...settings, attachment: { kind: "inherit" }, close };
}

/** Writes the pid file atomically. */
export function writePidFile(sys: Sys, path: string | undefined, pid: number): void {
  if (path !== undefined) sys.replaceFile(absolute(sys, path), String(pid), 0o644);
}

const FORWARDED = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGCONT",
  "SIGTSTP",
  "SIGALRM",
] as const;

/** Where our signals are forwarded. */
export interface Forwarding {
  /** Forwards to this process from now on, beginning with the signals received so far. */
  to(pid: number): void;
}

/**
 * Catches our signals on behalf of a process about to start: one that arrives before its pid is known would end us.
 */
export function forwardSignals(sys: Sys): Forwarding {
  const early: number[] = [];
  let target: number | undefined;
  for (const name of FORWARDED)
    process.on(name, () => {
      if (target === undefined) early.push(signalNumber(name));
      else sys.kill(target, signalNumber(name));
    });
  return {
    to(pid) {
      target = pid;
      for (const signal of early.splice(0)) sys.kill(pid, signal);
    },
  };
}

/** Waits for a process in the foreground, forwarding our signals; returns its exit code. */
export async function waitInForeground(launched: Launched, signals: Forwarding): Promise<number> {
  signals.to(launched.pid);
  return launched.exit();
}

const INPUT_LIMIT = 1 << 20;

/** Reads a descriptor to its end, as text: at most 1 MiB. */
export async function readAll(sys: Sys, fd: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (let part = await sys.read(fd, 65536); part.length > 0; part = await sys.read(fd, 65536)) {
    size += part.length;
    if (size > INPUT_LIMIT)
      throw new BerthError("resource_exhausted", "standard input: more than 1 MiB", { stage: "flags" });
    parts.push(part);
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return new TextDecoder().decode(all);
}

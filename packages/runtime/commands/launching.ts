/** What create, run, exec have in common: flags, descriptors, the pid file, and waiting in the foreground. */
import { BerthError } from "@berth/base";
import type { Process } from "@berth/oci";
import { linux, type Sys } from "@berth/sys";
import type { LaunchSettings } from "../container/create.ts";
import type { Launched } from "../launch/launch.ts";
import { signalNumber } from "./signals.ts";

export const launchFlags = {
  "console-socket": { type: "string", help: "path of a unix socket that receives the terminal's master" },
  "pid-file": { type: "string", help: "file to write the process's pid to" },
  "no-new-keyring": { type: "bool", help: "stay in the caller's session keyring" },
  "preserve-fds": { type: "number", help: "pass on that many descriptors from 3 on" },
} as const;

/** Values of {@link launchFlags}. */
export interface LaunchFlags {
  "console-socket"?: string;
  "pid-file"?: string;
  "no-new-keyring"?: boolean;
  "preserve-fds"?: number;
}

/** Resolves a path against the working folder. */
export function absolute(sys: Sys, path: string): string {
  return path.startsWith("/") ? path : `${sys.cwd()}/${path}`;
}

/** Settings of a launch, and how to give up the descriptors that were opened for it. */
export function launchSettings(
  sys: Sys,
  flags: LaunchFlags,
  process: Process | undefined,
  detached: boolean,
): LaunchSettings & { close(): void } {
  const inherited: number[] = [];
  const opened: number[] = [];
  const preserve = flags["preserve-fds"] ?? 0;
  if (preserve < 0 || preserve > 100)
    throw new BerthError("invalid_argument", `--preserve-fds: found ${preserve}, expected 0 to 100`, {
      stage: "flags",
    });
  for (let fd = 3; fd < 3 + preserve; fd++) {
    if (sys.stat(`/proc/self/fd/${fd}`) === undefined) {
      throw new BerthError(
        "invalid_argument",
        `please check that preserved-fd ${fd - 3} (of ${preserve}) is present: descriptor ${fd} is not open`,
        { stage: "flags" },
      );
    }
    inherited.push(fd);
  }
  const preserved = inherited.map((_, i) => i);
  const settings = {
    stdio: [0, 1, 2] as const,
    inherited,
    preserved,
    noNewKeyring: flags["no-new-keyring"] ?? false,
  };
  const close = () => {
    for (const fd of opened) sys.close(fd);
  };
  const socket = flags["console-socket"];
  if (socket !== undefined) {
    const fd = sys.connectUnix(absolute(sys, socket));
    opened.push(fd);
    inherited.push(fd);
    return { ...settings, attachment: { kind: "console-socket", slot: inherited.length - 1 }, close };
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

/** Writes the pid file, whole or not at all. */
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

/** Passes the signals that reach us on to a process. */
export function forwardSignals(sys: Sys, pid: number): void {
  for (const name of FORWARDED) process.on(name, () => sys.kill(pid, signalNumber(name)));
}

/** Waits for a process in the foreground, passing on the signals that reach us; its exit code. */
export async function waitInForeground(sys: Sys, launched: Launched): Promise<number> {
  forwardSignals(sys, launched.pid);
  return launched.exit();
}

const INPUT_LIMIT = 1 << 20;

/** Everything that a descriptor has to give, as text: at most 1 MiB. */
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

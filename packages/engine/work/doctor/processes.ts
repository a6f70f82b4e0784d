/** Processes and sockets, from /proc. */
import { SIGKILL } from "@berth/base";
import { linux, type Sys } from "@berth/sys";

const GONE_MS = 5000;

/** Paths of bound unix sockets, by inode. */
export function boundSockets(sys: Sys): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of (sys.readTextIfAny("/proc/net/unix") ?? "").split("\n").slice(1)) {
    const match = /^\S+ \S+ \S+ \S+ \S+ \S+ +(\d+) (\/.*)$/.exec(line);
    if (match !== null) found.set(match[1]!, match[2]!);
  }
  return found;
}

/** Pids of all processes. */
export function allPids(sys: Sys): number[] {
  return (sys.list("/proc") ?? []).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** Targets of a process's descriptors; empty if it is gone. */
export function descriptors(sys: Sys, pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return (sys.list(folder) ?? []).flatMap((fd) => {
    try {
      return sys.readlink(`${folder}/${fd}`) ?? [];
    } catch {
      return [];
    }
  });
}

/** Keepers that hold a socket in `folder`, by token. */
export function keepersIn(sys: Sys, folder: string): Map<string, number> {
  const tokens = new Map<string, string>();
  for (const [inode, path] of boundSockets(sys)) {
    const name = path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : "";
    if (/^[^/]+\.sock$/.test(name)) tokens.set(`socket:[${inode}]`, name.slice(0, -".sock".length));
  }
  const found = new Map<string, number>();
  if (tokens.size === 0) return found;
  for (const pid of allPids(sys)) {
    if (!isKeeper(sys, pid)) continue;
    for (const target of descriptors(sys, pid)) {
      const token = tokens.get(target);
      if (token !== undefined) found.set(token, pid);
    }
  }
  return found;
}

function isKeeper(sys: Sys, pid: number): boolean {
  return sys.readTextIfAny(`/proc/${pid}/cmdline`)?.split("\0", 1)[0] === "berth-init";
}

/** Kills a keeper and its process; each is verified again after opening its pidfd. */
export async function killKeeper(sys: Sys, keeper: number): Promise<void> {
  const children = (sys.readTextIfAny(`/proc/${keeper}/task/${keeper}/children`) ?? "").trim();
  const isChild = (pid: number) =>
    Number(/^PPid:\s*(\d+)/m.exec(sys.readTextIfAny(`/proc/${pid}/status`) ?? "")?.[1]) === keeper;
  for (const word of children === "" ? [] : children.split(" "))
    await killProcess(sys, Number(word), isChild);
  await killProcess(sys, keeper, (pid) => isKeeper(sys, pid));
}

/** Sends SIGKILL to a process that `same` still recognises, and waits for its exit. */
async function killProcess(sys: Sys, pid: number, same: (pid: number) => boolean): Promise<void> {
  const pidfd = sys.pidfdOpen(pid);
  if (pidfd === undefined) return;
  try {
    if (!same(pid)) return;
    sys.pidfdSignal(pidfd, SIGKILL);
    await sys.poll(pidfd, linux.POLLIN, GONE_MS);
  } finally {
    sys.close(pidfd);
  }
}

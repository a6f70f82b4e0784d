/** Hints for failed operations: the probable cause, or the next step. */

/** Hints by operation and errno. */
const HINTS: readonly (readonly [op: string, errno: string, hint: string])[] = [
  [
    "fsopen",
    "ENODEV",
    "the kernel does not know this file system: load its module, or change the mount's type",
  ],
  [
    "unmount",
    "EINVAL",
    "nothing is mounted there that can be unmounted: see the container's /proc/1/mountinfo",
  ],
  ["target", "ENOENT", "name a destination that the container has"],
  ["open_tree", "ENOENT", "create the source of this mount on the host, or correct its path"],
  [
    "rlimit",
    "EPERM",
    "raising a hard limit needs CAP_SYS_RESOURCE: lower process.rlimits, or run with that capability",
  ],
  [
    "write_child",
    "EPERM",
    "the id mappings go beyond what /etc/subuid, /etc/subgid or the parent's map allow",
  ],
  ["write", "EBUSY", "the cgroup is in use in a way that forbids this limit"],
  ["chdir", "ENOENT", "create process.cwd in the image, or name another folder"],
  ["chdir", "EXDEV", "process.cwd leads out of the container: refused (CVE-2024-21626)"],
  ["setns", "EPERM", "joining this namespace needs CAP_SYS_ADMIN in the user namespace that owns it"],
  [
    "check_start",
    "ESRCH",
    "the container's process has ended and its pid is another's now: delete the container",
  ],
  ["check_start", "ENOENT", "the container's process has ended: delete the container"],
  [
    "sched_setattr",
    "EPERM",
    "process scheduler can't be used together with AllowedCPUs (SCHED_DEADLINE needs all of a cpuset's CPUs), and real-time policies take CAP_SYS_NICE",
  ],
  ["userns", "ENOSPC", "a limit on user namespaces is reached: see /proc/sys/user/max_user_namespaces"],
  [
    "set_mempolicy",
    "EINVAL",
    "linux.memoryPolicy.nodes must be nodes of this machine that the cpuset allows",
  ],
  ["write_in", "EROFS", "the kernel parameter is read-only here"],
  ["write_in", "ENOENT", "this kernel has no such parameter, or not in this namespace: check its name"],
  [
    "console",
    "EXDEV",
    "the container's /dev/pts is no devpts of its own: mount one with the option newinstance",
  ],
  ["console", "ENOENT", "process.terminal needs a devpts mounted on /dev/pts"],
  [
    "mknod",
    "EPERM",
    "device nodes cannot be made here: use a user namespace with bound devices, or mount /dev",
  ],
];

/** The hint for an operation's errno, if there is one. */
export function hintFor(operation: string, errno: string): string | undefined {
  return HINTS.find(([name, code]) => name === operation && code === errno)?.[2];
}

/** Hints for a failed clone, by errno. */
export const CLONE_HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces",
  EPERM:
    'without the rights of root, linux.namespaces needs one of type "user" (`berth-runc spec --rootless` shows how), and the kernel must allow it',
};

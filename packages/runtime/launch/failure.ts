/** Turns a failed operation into an error in words: stage, system call, errno, path, probable cause, next step. */
import { BerthError, codeOfErrno } from "@berth/base";
import { linux } from "@berth/sys";
import type { Operation, Plan, SectionName } from "../plan/operations.ts";
import { NO_PROGRAM, SECTIONS } from "../plan/operations.ts";
import { diagnoseExecutable } from "./executable.ts";
import type { InitRecord } from "./records.ts";

/** The first text argument that looks like a path. */
function pathOf(op: Operation): string | undefined {
  return op.args.find((a): a is string => typeof a === "string" && a.startsWith("/"));
}

function lookupFailure(op: Operation, errno: string): BerthError {
  const name = String(op.args[0]);
  const facts = { stage: "exec", syscall: "execve", errno, path: name };
  if (op.words === NO_PROGRAM)
    return new BerthError("failed_precondition", "process: found nothing, expected the program to run", {
      stage: "exec",
      hint: "a container without a process can only be deleted: add one to config.json and create it anew",
    });
  // The wording is runc's: docker derives its exit codes 126 and 127 from it.
  if (errno === "ENOENT") {
    const text = name.includes("/")
      ? `exec: "${name}": stat ${name}: no such file or directory`
      : `exec: "${name}": executable file not found in $PATH`;
    return new BerthError("not_found", text, {
      ...facts,
      hint: `check that the image holds ${name}; PATH was ${String(op.args[1])}`,
    });
  }
  if (errno === "EISDIR") {
    return new BerthError("invalid_argument", `exec: "${name}": is a directory`, {
      ...facts,
      hint: "name a program inside that folder",
    });
  }
  return new BerthError("permission_denied", `exec: "${name}": permission denied`, {
    ...facts,
    hint: `make it executable (chmod +x ${name}), and look at its folder's permissions and at a noexec mount`,
  });
}

function linkFailure(op: Operation): BerthError {
  const path = String(op.args[2]);
  if (op.args[3] === -3)
    return new BerthError("invalid_argument", `${op.stage}: ${path}: found a symbolic link on the way`, {
      stage: op.stage,
      syscall: "openat2",
      errno: "ELOOP",
      path,
      hint: "the container may have put it there: name the path where the mount is",
    });
  return new BerthError(
    "invalid_argument",
    `${op.stage}: ${path} must be mounted on ordinary directory: found a symbolic link in the image`,
    {
      stage: op.stage,
      syscall: "openat2",
      errno: "ELOOP",
      path,
      hint: "the link could lead the mount elsewhere: make it a folder in the image",
    },
  );
}

function lockedFailure(op: Operation, errno: string): BerthError {
  return new BerthError(
    "permission_denied",
    `error during container init: ${op.words}: operation not permitted: the host's mount is stricter, which a user namespace may not undo`,
    {
      stage: op.stage,
      syscall: "mount_setattr",
      errno,
      hint: "leave out the options that clear ro, nosuid, nodev, noexec or change atime, or change the host's mount",
    },
  );
}

function agentFailure(op: Operation, errno: string): BerthError {
  const path = String(op.args[0]);
  return new BerthError(codeOfErrno(errno), `failed to connect with seccomp agent at ${path}: ${errno}`, {
    stage: op.stage,
    syscall: "connect",
    errno,
    path,
    hint: "start the agent that linux.seccomp.listenerPath names, or correct the path",
  });
}

/** Signals as their default message names them (signal(7)). */
const SIGNAL_WORDS: Readonly<Record<string, string>> = {
  6: "aborted",
  9: "killed",
  11: "segmentation fault",
  15: "terminated",
  31: "bad system call",
};

/** runc's words: "error running createRuntime hook #0: exit status 1, stderr: no device". */
function hookFailure(op: Operation, errno: string, detail: string): BerthError {
  const [, number = "0"] = /hook (\d+):/.exec(op.words) ?? [];
  const [, kind, value, said] = /^(exit status|signal) (\d+): ?([\s\S]*)$/.exec(detail) ?? [];
  const end =
    kind === "signal"
      ? `signal: ${SIGNAL_WORDS[value!] ?? value}`
      : kind !== undefined
        ? `exit status ${value}`
        : errno === "ETIMEDOUT"
          ? "it did not end in time"
          : errno;
  const path = pathOf(op);
  return new BerthError(
    "failed_precondition",
    `error running ${op.stage} #${number}: ${end}${said ? `, stderr: ${said}` : ""}`,
    {
      stage: op.stage,
      syscall: "hook",
      errno,
      ...(path === undefined ? {} : { path }),
      hint:
        errno === "ETIMEDOUT"
          ? "raise the hook's timeout, or find what it waits for"
          : "run the hook by hand, with the container's state on its standard input",
    },
  );
}

const ERRNO_WORDS: Readonly<Record<string, string>> = {
  EPERM: "operation not permitted",
  EINVAL: "invalid argument",
};

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

function text(detail: Uint8Array): string {
  return new TextDecoder()
    .decode(detail)
    .replace(/\0[\s\S]*$/, "")
    .trim();
}

function detailText(detail: Uint8Array): string {
  const words = text(detail);
  return words === "" ? "" : ` (${words})`;
}

/** Finds an operation by its section and index. */
export type OperationFinder = (section: SectionName, index: number) => Operation | undefined;

/** Finds operations in a plan. */
export function inPlan(plan: Plan): OperationFinder {
  return (section, index) => plan.sections[section][index];
}

const CLONE_HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces",
  EPERM:
    'without the rights of root, linux.namespaces needs one of type "user" (`berth-runc spec --rootless` shows how), and the kernel must allow it',
};

/** The error for a "failed" or "warning" record. */
export function failureOf(record: InitRecord, find: OperationFinder): BerthError {
  const errno = linux.errnoName(record.b);
  const section = SECTIONS[record.a >>> 16];
  const op = section === undefined ? undefined : find(section, record.a & 0xffff);
  if (op === undefined) {
    const step = section === "setup" ? "cloning the container's process" : "starting berth-init";
    return new BerthError(codeOfErrno(errno), `${step}: ${errno}`, {
      stage: "launch",
      syscall: "clone",
      errno,
      hint: CLONE_HINTS[errno] ?? "look at limits on processes and memory (ulimit -u, pids.max)",
    });
  }
  if (op.name === "lookup") return lookupFailure(op, errno);
  if (op.name === "exec") return diagnoseExecutable(op, errno, record.detail);
  if (op.name === "hook") return hookFailure(op, errno, text(record.detail));
  if (op.name === "target" && errno === "ELOOP") return linkFailure(op);
  if (op.name === "mount_flags") return lockedFailure(op, errno);
  if (op.name === "send_listener") return agentFailure(op, errno);
  if (op.name === "ambient")
    return new BerthError("permission_denied", `can't ${op.words}: ${ERRNO_WORDS[errno] ?? errno}`, {
      stage: op.stage,
      syscall: op.name,
      errno,
    });
  const hint = HINTS.find(([name, code]) => name === op.name && code === errno)?.[2];
  const path = pathOf(op);
  return new BerthError(
    codeOfErrno(errno),
    `${op.stage}: cannot ${op.words}: ${op.name}: ${errno}${detailText(record.detail)}`,
    {
      stage: op.stage,
      syscall: op.name,
      errno,
      ...(path === undefined ? {} : { path }),
      ...(hint === undefined ? {} : { hint }),
    },
  );
}

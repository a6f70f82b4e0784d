/** Errors of operations with messages of their own. */
import { BerthError, codeOfErrno, present } from "@berth/base";
import { NO_PROGRAM, type Operation } from "../plan/operations.ts";

/** An operation's first argument that is an absolute path. */
export function pathOf(op: Operation): string | undefined {
  return op.args.find((a): a is string => typeof a === "string" && a.startsWith("/"));
}

/** The error for a program that was not found or is not executable. */
export function lookupFailure(op: Operation, errno: string): BerthError {
  const name = String(op.args[0]);
  const facts = { stage: "exec", syscall: "execve", errno, path: name };
  if (op.words === NO_PROGRAM)
    return new BerthError("failed_precondition", "process: found nothing, expected the program to run", {
      stage: "exec",
      hint: "a container without a process can only be deleted: add one to config.json and create it anew",
    });
  // runc's messages, from which docker derives its exit codes 126 and 127.
  if (errno === "ENOENT") {
    const message = name.includes("/")
      ? `exec: "${name}": stat ${name}: no such file or directory`
      : `exec: "${name}": executable file not found in $PATH`;
    return new BerthError("not_found", message, {
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

/** The error for a symlink in the path of a mount point. */
export function linkFailure(op: Operation): BerthError {
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

/** The error for mount options that lift locked restrictions. */
export function lockedFailure(op: Operation, errno: string): BerthError {
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

/** The error for a seccomp agent that cannot be reached. */
export function agentFailure(op: Operation, errno: string): BerthError {
  const path = String(op.args[0]);
  return new BerthError(codeOfErrno(errno), `failed to connect with seccomp agent at ${path}: ${errno}`, {
    stage: op.stage,
    syscall: "connect",
    errno,
    path,
    hint: "start the agent that linux.seccomp.listenerPath names, or correct the path",
  });
}

/** Descriptions of signals, as in runc's messages. */
const SIGNAL_WORDS: Readonly<Record<string, string>> = {
  6: "aborted",
  9: "killed",
  11: "segmentation fault",
  15: "terminated",
  31: "bad system call",
};

/** The error for a failed hook. runc's message: "error running createRuntime hook #0: exit status 1, stderr: no device". */
export function hookFailure(op: Operation, errno: string, detail: string): BerthError {
  const [, number = "0"] = /hook (\d+):/.exec(op.words) ?? [];
  const [, kind, value, stderr] = /^(exit status|signal) (\d+): ?([\s\S]*)$/.exec(detail) ?? [];
  const outcome =
    kind === "signal"
      ? `signal: ${SIGNAL_WORDS[value!] ?? value}`
      : kind !== undefined
        ? `exit status ${value}`
        : errno === "ETIMEDOUT"
          ? "it did not end in time"
          : errno;
  return new BerthError(
    "failed_precondition",
    `error running ${op.stage} #${number}: ${outcome}${stderr ? `, stderr: ${stderr}` : ""}`,
    {
      stage: op.stage,
      syscall: "hook",
      errno,
      ...present({ path: pathOf(op) }),
      hint:
        errno === "ETIMEDOUT"
          ? "raise the hook's timeout, or find what it waits for"
          : "run the hook by hand, with the container's state on its standard input",
    },
  );
}

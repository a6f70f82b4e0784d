/**
 * The one error class of berth.
 *
 * Every failure that a user can see is a {@link BerthError}: it says what was asked, what was found and what
 * to do. It maps one to one to a gRPC status (`packages/grpc`), to an exit code and text at the terminal
 * (`packages/cli`) and to the class a client catches (`packages/client`).
 */

/** containerd's errdefs classes, which "map closely to gRPC errors". The names are those of google.rpc.Code. */
export type ErrorCode =
  | "canceled"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** Where an error happened and what can be done about it; every part is optional. */
export interface ErrorFacts {
  /** Stage of the operation that failed, named as in `berth trace`: "cgroup", "mount", "exec", "pull". */
  stage?: string;
  /** Name of the system call that failed, as in its man page. */
  syscall?: string;
  /** Symbolic errno of that system call, for instance "ENOENT". */
  errno?: string;
  /** File the operation was about. */
  path?: string;
  /** The next step for the user, as an imperative sentence. */
  hint?: string;
  /** The underlying error. */
  cause?: unknown;
}

/** An error with a stable code and the facts a user needs; see the module comment. */
export class BerthError extends Error {
  readonly code: ErrorCode;
  readonly stage: string | undefined;
  readonly syscall: string | undefined;
  readonly errno: string | undefined;
  readonly path: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "BerthError";
    this.code = code;
    this.stage = facts.stage;
    this.syscall = facts.syscall;
    this.errno = facts.errno;
    this.path = facts.path;
    this.hint = facts.hint;
  }

  /**
   * Turns anything that was thrown into a BerthError. Errors of `node:` modules keep their errno, system call
   * and path; everything else becomes "internal" with the original as its cause.
   */
  static from(thrown: unknown, stage?: string): BerthError {
    if (thrown instanceof BerthError) return thrown;
    if (thrown instanceof Error) {
      const system = thrown as Error & { code?: unknown; syscall?: unknown; path?: unknown };
      const facts: ErrorFacts = { cause: thrown };
      if (stage !== undefined) facts.stage = stage;
      if (typeof system.syscall === "string") facts.syscall = system.syscall;
      if (typeof system.path === "string") facts.path = system.path;
      if (typeof system.code === "string" && /^E[A-Z0-9]+$/.test(system.code)) {
        facts.errno = system.code;
        return new BerthError(codeOfErrno(system.code), thrown.message, facts);
      }
      return new BerthError("internal", thrown.message, facts);
    }
    return new BerthError("internal", String(thrown), stage === undefined ? {} : { stage });
  }
}

/** Whether `thrown` is a {@link BerthError} of the given code. */
export function isCode(thrown: unknown, code: ErrorCode): boolean {
  return thrown instanceof BerthError && thrown.code === code;
}

const ERRNO_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "not_found",
  ESRCH: "not_found",
  EEXIST: "already_exists",
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  EROFS: "permission_denied",
  ENOSPC: "resource_exhausted",
  EDQUOT: "resource_exhausted",
  EMFILE: "resource_exhausted",
  ENFILE: "resource_exhausted",
  ENOMEM: "resource_exhausted",
  EAGAIN: "resource_exhausted",
  EINVAL: "invalid_argument",
  ENOTDIR: "invalid_argument",
  EISDIR: "invalid_argument",
  ENAMETOOLONG: "invalid_argument",
  ELOOP: "invalid_argument",
  EBUSY: "failed_precondition",
  ENOTEMPTY: "failed_precondition",
  ETIMEDOUT: "deadline_exceeded",
  ECANCELED: "canceled",
  ENOSYS: "unimplemented",
  EOPNOTSUPP: "unimplemented",
  ECONNREFUSED: "unavailable",
  ECONNRESET: "unavailable",
  EPIPE: "unavailable",
};

/** The error class that fits a symbolic errno; "internal" for those without an obvious one. */
export function codeOfErrno(errno: string): ErrorCode {
  return ERRNO_CODES[errno] ?? "internal";
}

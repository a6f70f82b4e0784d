/** The `process` object of config.json, also used by `exec --process`. */
import type { Int64 } from "./spec.ts";

/** The container's process, or an additional one. */
export interface Process {
  /** Attach a pseudo terminal. */
  terminal?: boolean;
  /** Initial size of the terminal, in characters. */
  consoleSize?: { height: number; width: number };
  user: User;
  /** argv; [0] is looked up in PATH of `env` unless it holds a slash. */
  args?: string[];
  /** "NAME=value" each. */
  env?: string[];
  /** Absolute path inside the container. */
  cwd: string;
  capabilities?: Capabilities;
  rlimits?: Rlimit[];
  noNewPrivileges?: boolean;
  apparmorProfile?: string;
  /** -1000 to 1000. */
  oomScoreAdj?: number;
  selinuxLabel?: string;
  scheduler?: Scheduler;
  ioPriority?: IoPriority;
  execCPUAffinity?: CpuAffinity;
}

/** Ids as seen inside the container. */
export interface User {
  uid: number;
  gid: number;
  /** As a number, not octal text. */
  umask?: number;
  additionalGids?: number[];
  /** Windows only; carried along. */
  username?: string;
}

/** The five capability sets, as "CAP_..." names; an absent set is empty. */
export interface Capabilities {
  bounding?: string[];
  effective?: string[];
  inheritable?: string[];
  permitted?: string[];
  ambient?: string[];
}

/** A resource limit; 18446744073709551615 is unlimited. */
export interface Rlimit {
  /** "RLIMIT_..." name. */
  type: string;
  hard: Int64;
  soft: Int64;
}

/** sched_setattr(2), by name. */
export interface Scheduler {
  /** "SCHED_OTHER", "SCHED_FIFO", ... */
  policy: string;
  nice?: number;
  /** Static priority, of SCHED_FIFO and SCHED_RR. */
  priority?: number;
  flags?: string[];
  /** In nanoseconds, for SCHED_DEADLINE; so are the next two. */
  runtime?: Int64;
  deadline?: Int64;
  period?: Int64;
}

/** ioprio_set(2), by name. */
export interface IoPriority {
  class: "IOPRIO_CLASS_RT" | "IOPRIO_CLASS_BE" | "IOPRIO_CLASS_IDLE";
  /** 0 (first) to 7. */
  priority: number;
}

/** CPU lists ("0-3,7") of an additional process: before and after it joins the cgroup. */
export interface CpuAffinity {
  initial?: string;
  final?: string;
}

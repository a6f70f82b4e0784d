/**
 * The operations a plan is made of: names and argument letters, in the order of their codes.
 *
 * The same list stands in native/init/operations.c; `berth-init --operations` prints it and a test compares. Letters:
 * i a number, s text, b bytes; `*` behind the last one means any number of these.
 */
export const OPERATIONS = [
  ["open", "isii"],
  ["open_at", "iisi"],
  ["close", "i"],
  ["mkdir", "si"],
  ["write", "sb"],
  ["write_first", "sbsb"],
  ["write_in", "isb"],
  ["enter_cgroup", "i"],
  ["write_child", "sb"],
  ["write_pid", "s"],
  ["target", "iisiiii"],
  ["symlink", "issii*"],
  ["mknod", "isiiiii"],
  ["check_start", "ii"],
  ["check_device", "ii"],
  ["fsopen", "is"],
  ["fsconfig", "iissi"],
  ["fspick", "ii"],
  ["fsmount", "iii"],
  ["open_tree", "iisi"],
  ["mount_setattr", "iiiiii"],
  ["mount_flags", "iii"],
  ["move_mount", "ii"],
  ["mount", "sssis"],
  ["pivot_root", "i"],
  ["chroot", "ii"],
  ["mask", "isiii*"],
  ["readonly", "is"],
  ["copy_up", "ii"],
  ["inherit_mode", "iisi*"],
  ["unmount", "ii"],
  ["userns", "ibb"],
  ["setns", "ii"],
  ["unshare", "i"],
  ["setsid", ""],
  ["sethostname", "s"],
  ["setdomainname", "s"],
  ["map_ids", "si*"],
  ["loopback", ""],
  ["netlink", "ib"],
  ["rlimit", "iii"],
  ["umask", "i"],
  ["chdir", "s"],
  ["setgroups", "i*"],
  ["setgid", "i"],
  ["setuid", "i"],
  ["bounding", "i"],
  ["keepcaps", "i"],
  ["capset", "iii"],
  ["ambient", "i"],
  ["no_new_privs", ""],
  ["seccomp", "ib"],
  ["personality", "i"],
  ["sched_setattr", "b"],
  ["ioprio_set", "i"],
  ["set_mempolicy", "ib"],
  ["sched_setaffinity", "b"],
  ["keyring", "s"],
  ["bpf_device", "ibi"],
  ["dup", "ii"],
  ["close_range", "i"],
  ["console", "iiiiii*"],
  ["send_console", "i"],
  ["send_listener", "sbbb"],
  ["send_pidfd", "is"],
  ["call_parent", ""],
  ["await_child", ""],
  ["lend", "i"],
  ["borrow", "i"],
  ["answer", ""],
  ["hook", "sbbiis*"],
  ["home", "isis"],
  ["lookup", "ss"],
  ["report_to", "i"],
  ["mark", "i"],
  ["ready", ""],
  ["wait_fifo", "i"],
  ["exec", "iss*"],
  ["pause", ""],
  ["keep", "isi"],
  ["listen", "si"],
  ["fifo_in", "is"],
  ["fifo_out", "is"],
  ["log", "siiiiiii"],
  ["relay", "iii"],
  ["watch_oom", "iss"],
] as const satisfies readonly (readonly [string, string])[];

/** Name of an operation. */
export type OperationName = (typeof OPERATIONS)[number][0];

/** Code of each operation: its place in the list. */
export const OPERATION_CODES: ReadonlyMap<string, number> = new Map(OPERATIONS.map(([name], i) => [name, i]));

/** An argument of an operation. */
export type OperationArg = number | bigint | string | Uint8Array;

/** One step of a plan. */
export interface Operation {
  readonly name: OperationName;
  readonly args: readonly OperationArg[];
  /** A failure is a warning. */
  readonly optional: boolean;
  /** ENOENT is no failure. */
  readonly ifPresent: boolean;
  /** Part of the container's set-up this belongs to, as errors and `berth explain` name it. */
  readonly stage: string;
  /** What it does to what, in words: "mount proc on /proc". */
  readonly words: string;
}

/** Who runs a section, in the order of berth-init's `enum section`. */
export const SECTIONS = ["setup", "join", "enter", "attach", "child", "after"] as const;
/**
 * setup: the parent; join: the go-between; enter: the new process, at once; attach: the parent, before go; child: the
 * new process; after: the parent.
 */
export type SectionName = (typeof SECTIONS)[number];

/** Clone flags of clone(2) by the specification's namespace types. */
export const CLONE_FLAGS = {
  time: 0x80,
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
} as const;

const JOINED: readonly string[] = ["cgroup", "ipc", "uts", "network", "pid", "time", "mount"];

/**
 * The order to join namespaces in. Root joins the user namespace last, as its owner's rights are no longer the host's; an
 * ordinary user first, as only there it has any.
 */
export function joinOrder(uid: number): readonly string[] {
  return uid === 0 ? [...JOINED, "user"] : ["user", ...JOINED];
}

/** A compiled plan: what berth-init will do, in order. */
export interface Plan {
  readonly sections: Readonly<Record<SectionName, readonly Operation[]>>;
  readonly cloneFlags: number;
  /** Slot of the version 2 cgroup that the process is born in; -1: none. */
  readonly cgroupSlot: number;
  /** Clone a process at all; without, only the setup section runs. */
  readonly child: boolean;
  /** What the parent does afterwards: leave, stay as the keeper, or wait for the process. */
  readonly parent: "leave" | "keep" | "wait";
  /** Number of descriptors that the caller hands over, which are slots 0, 1, and so on. */
  readonly inherited: number;
}

/** Words of the operation that ends the start of a bundle without a process. */
export const NO_PROGRAM = "find no program";

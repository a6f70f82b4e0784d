/**
 * The operations of plans: names and signatures, in the order of their codes.
 *
 * native/init/operations.c has the same list, `berth-init --operations` prints it, and a test compares them. In signatures,
 * i is a number, s a string, b bytes; a final `*` means any number of the last argument.
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
  ["own_slot", "iii"],
  ["own_stdio", "iii*"],
  ["relay", "iiii"],
  ["watch_oom", "iss"],
] as const satisfies readonly (readonly [string, string])[];

/** Name of an operation. */
export type OperationName = (typeof OPERATIONS)[number][0];

/** Code of each operation: its index in the list. */
export const OPERATION_CODES: ReadonlyMap<string, number> = new Map(OPERATIONS.map(([name], i) => [name, i]));

/** An argument of an operation. */
export type OperationArg = number | bigint | string | Uint8Array;

/** One step of a plan. */
export interface Operation {
  readonly name: OperationName;
  readonly args: readonly OperationArg[];
  /** Whether a failure is only a warning. */
  readonly optional: boolean;
  /** Whether ENOENT is ignored. */
  readonly ifPresent: boolean;
  /** Stage of the container's set-up, for errors and `berth explain`. */
  readonly stage: string;
  /** Description for errors and `berth explain`: "mount proc on /proc". */
  readonly words: string;
}

/** The sections of a plan, in the order of berth-init's `enum section`. */
export const SECTIONS = ["setup", "join", "enter", "attach", "child", "after"] as const;
/**
 * A section is run by one process. setup: the parent, before the clone. join: the go-between. enter: the new process, first.
 * attach: the parent, before it lets the new process continue. child: the new process. after: the parent, concurrently.
 */
export type SectionName = (typeof SECTIONS)[number];

/** Flags of clone(2) by the specification's namespace types. */
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
 * The order to join namespaces in. Root joins the user namespace last, as it loses its privileges on the host there; an
 * unprivileged user joins it first, as it gains its privileges there.
 */
export function joinOrder(uid: number): readonly string[] {
  return uid === 0 ? [...JOINED, "user"] : ["user", ...JOINED];
}

/** A compiled plan: the operations that berth-init executes. */
export interface Plan {
  readonly sections: Readonly<Record<SectionName, readonly Operation[]>>;
  readonly cloneFlags: number;
  /** Slot of the version 2 cgroup to clone the process into (CLONE_INTO_CGROUP); -1 for none. */
  readonly cgroupSlot: number;
  /** Whether to clone a process; if not, only the setup section runs. */
  readonly child: boolean;
  /** What the parent does once the process is set up: exit, stay as its keeper, or wait for it to exit. */
  readonly parent: "leave" | "keep" | "wait";
  /** Number of inherited descriptors, which are slots 0, 1, and so on. */
  readonly inherited: number;
}

/** Description of the operation that fails the start of a container without a process. */
export const NO_PROGRAM = "find no program";

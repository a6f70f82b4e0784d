/**
 * Docker's default seccomp profile, as data: which calls a container may make, given its capabilities, the
 * architecture and the kernel. The facts are those of moby's profile; docker.test.ts guards them.
 *
 * Everything not listed fails with EPERM, except clone3, which fails with ENOSYS so that C libraries fall back
 * to clone (whose flags a filter can see).
 */
import type { SeccompAction, SeccompArchitecture, SeccompArg } from "../runtime/seccomp.ts";

/** Go's and the kernel's names of architectures, as the profile's conditions use them. */
export type MachineName =
  | "amd64"
  | "x86"
  | "x32"
  | "arm64"
  | "arm"
  | "riscv64"
  | "ppc64le"
  | "s390x"
  | "s390"
  | "loong64"
  | "mips64"
  | "mipsel64";

/** Calls that a rule covers, and when it applies; absent conditions always hold. */
export interface ConditionalRule {
  /** Names of calls, separated by whitespace. */
  calls: string;
  /** ALLOW when absent. */
  action?: SeccompAction;
  errnoRet?: number;
  args?: readonly SeccompArg[];
  /** All of these must be in the bounding set. */
  caps?: readonly string[];
  /** None of these may be in the bounding set. */
  withoutCaps?: readonly string[];
  machines?: readonly MachineName[];
  notMachines?: readonly MachineName[];
  /** Lowest kernel version. */
  kernel?: readonly [major: number, minor: number];
}

/** Calls that are always allowed. */
const ALWAYS = [
  // Signals, and waiting for processes.
  `kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
  rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd
  signalfd4 sigprocmask sigreturn tgkill tkill wait4 waitid waitpid`,
  // Processes and threads: lifecycle, ids, groups, scheduling, limits.
  `capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid
  getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getrandom getresgid
  getresgid32 getresuid getresuid32 getrlimit getrusage getsid get_thread_area gettid getuid getuid32
  ioprio_get ioprio_set landlock_add_rule landlock_create_ruleset landlock_restrict_self membarrier
  pidfd_open prctl prlimit64 process_mrelease restart_syscall riscv_hwprobe rseq sched_getaffinity
  sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
  sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgroups setgroups32
  setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
  setreuid32 setgid setgid32 setuid setuid32 setrlimit setsid set_thread_area set_tid_address sysinfo times ugetrlimit umask uname
  uretprobe vfork`,
  // Memory.
  `brk cachestat madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
  mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
  remap_file_pages`,
  // Time and timers.
  `adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
  clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer
  time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
  timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`,
  // Locks between threads.
  `futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list set_robust_list`,
  // Sockets.
  `accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
  recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair`,
  // System V and POSIX message queues, semaphores, shared memory.
  `ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
  mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
  semtimedop_time64 shmat shmctl shmdt shmget`,
  // Waiting on many descriptors, notification.
  `epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1
  inotify_rm_watch _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select`,
  // Linux AIO (io_uring is not allowed).
  `io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit`,
  // Extended attributes.
  `fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
  llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`,
  // Files and directories.
  `access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
  faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32
  fchownat fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
  ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat listmount _llseek
  lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2
  pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
  rename renameat renameat2 rmdir sendfile sendfile64 splice stat
  stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs tee truncate
  truncate64 unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev`,
];

const equals = (index: number, value: number): SeccompArg[] => [{ index, value, op: "SCMP_CMP_EQ" }];
// CLONE_NEW* of every namespace: none of these bits may be set. (Masked bits == valueTwo == 0.)
const noNewNamespaces = (index: number): SeccompArg[] => [
  { index, value: 0x7e020000, op: "SCMP_CMP_MASKED_EQ" },
];
const S390: readonly MachineName[] = ["s390", "s390x"];

/** The rules, in order. */
export const DOCKER_RULES: readonly ConditionalRule[] = [
  { calls: ALWAYS.join(" ") },
  // Before 4.8, ptrace could bypass the filter.
  { calls: "process_vm_readv process_vm_writev ptrace", kernel: [4, 8] },
  // All address families but AF_ALG (38) and AF_VSOCK (40).
  { calls: "socket", args: [{ index: 0, value: 38, op: "SCMP_CMP_LT" }] },
  { calls: "socket", args: equals(0, 39) },
  { calls: "socket", args: [{ index: 0, value: 40, op: "SCMP_CMP_GT" }] },
  // PER_LINUX, PER_LINUX32, each with UNAME26 or not, and the query 0xffffffff.
  { calls: "personality", args: equals(0, 0x0) },
  { calls: "personality", args: equals(0, 0x8) },
  { calls: "personality", args: equals(0, 0x20000) },
  { calls: "personality", args: equals(0, 0x20008) },
  { calls: "personality", args: equals(0, 0xffffffff) },
  // Calls that exist on one architecture only.
  { calls: "sync_file_range2 swapcontext", machines: ["ppc64le"] },
  {
    calls: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    machines: ["arm", "arm64"],
  },
  { calls: "arch_prctl", machines: ["amd64", "x32"] },
  { calls: "modify_ldt", machines: ["amd64", "x32", "x86"] },
  { calls: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", machines: S390 },
  { calls: "riscv_flush_icache", machines: ["riscv64"] },
  // Calls that require a capability.
  { calls: "open_by_handle_at", caps: ["CAP_DAC_READ_SEARCH"] },
  {
    calls: `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
      lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
      quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`,
    caps: ["CAP_SYS_ADMIN"],
  },
  { calls: "clone", args: noNewNamespaces(0), withoutCaps: ["CAP_SYS_ADMIN"], notMachines: S390 },
  // On s390, clone takes its flags as the second argument.
  { calls: "clone", args: noNewNamespaces(1), withoutCaps: ["CAP_SYS_ADMIN"], machines: S390 },
  { calls: "clone3", action: "SCMP_ACT_ERRNO", errnoRet: 38, withoutCaps: ["CAP_SYS_ADMIN"] },
  { calls: "reboot", caps: ["CAP_SYS_BOOT"] },
  { calls: "chroot", caps: ["CAP_SYS_CHROOT"] },
  { calls: "delete_module init_module finit_module", caps: ["CAP_SYS_MODULE"] },
  { calls: "acct", caps: ["CAP_SYS_PACCT"] },
  {
    calls: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    caps: ["CAP_SYS_PTRACE"],
  },
  { calls: "iopl ioperm", caps: ["CAP_SYS_RAWIO"] },
  { calls: "settimeofday stime clock_settime clock_settime64", caps: ["CAP_SYS_TIME"] },
  { calls: "vhangup", caps: ["CAP_SYS_TTY_CONFIG"] },
  { calls: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node", caps: ["CAP_SYS_NICE"] },
  { calls: "syslog", caps: ["CAP_SYSLOG"] },
  { calls: "bpf", caps: ["CAP_BPF"] },
  { calls: "perf_event_open", caps: ["CAP_PERFMON"] },
];

/** A machine's own architecture and those whose programs it can also run, in libseccomp's names. */
export const MACHINE_ARCHITECTURES: Readonly<Record<MachineName, readonly SeccompArchitecture[]>> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  x86: ["SCMP_ARCH_X86"],
  x32: ["SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  arm: ["SCMP_ARCH_ARM"],
  riscv64: ["SCMP_ARCH_RISCV64"],
  ppc64le: ["SCMP_ARCH_PPC64LE"],
  s390x: ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
  s390: ["SCMP_ARCH_S390"],
  loong64: ["SCMP_ARCH_LOONGARCH64"],
  mips64: ["SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"],
  mipsel64: ["SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"],
};

/**
 * The Linux ABI as far as berth uses it: system call numbers (x86-64 and arm64), flags, structures. Flags have the names
 * of the man pages. From `open_tree` on, numbers are the same on every architecture.
 */

/** System call numbers; the pair is [x86-64, arm64]. */
const NUMBERS = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  ioctl: [16, 29],
  sendfile: [40, 71],
  socket: [41, 198],
  connect: [42, 203],
  bind: [49, 200],
  socketpair: [53, 199],
  getsockopt: [55, 209],
  sendmsg: [46, 211],
  recvmsg: [47, 212],
  wait4: [61, 260],
  kill: [62, 129],
  fcntl: [72, 25],
  flock: [73, 32],
  fchmod: [91, 52],
  fchown: [93, 55],
  umask: [95, 166],
  mount: [165, 40],
  umount2: [166, 39],
  prctl: [157, 167],
  setxattr: [188, 5],
  lsetxattr: [189, 6],
  fsetxattr: [190, 7],
  lgetxattr: [192, 9],
  fgetxattr: [193, 10],
  llistxattr: [195, 12],
  flistxattr: [196, 13],
  lremovexattr: [198, 15],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  fchownat: [260, 54],
  unlinkat: [263, 35],
  linkat: [265, 37],
  symlinkat: [266, 36],
  readlinkat: [267, 78],
  fchmodat: [268, 53],
  utimensat: [280, 88],
  openat: [257, 56],
  fallocate: [285, 47],
  eventfd2: [290, 19],
  pipe2: [293, 59],
  prlimit64: [302, 261],
  getdents64: [217, 61],
  faccessat: [269, 48],
  statx: [332, 291],
  syncfs: [306, 267],
  renameat2: [316, 276],
  memfd_create: [319, 279],
  ppoll: [271, 73],
  exit_group: [231, 94],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  pidfd_send_signal: [424, 424],
  pidfd_open: [434, 434],
  openat2: [437, 437],
  mount_setattr: [442, 442],
} as const;

/** Name of a system call that berth uses. */
export type SyscallName = keyof typeof NUMBERS;

const column = process.arch === "arm64" ? 1 : 0;

/** The number of a system call on this machine. */
export function syscallNumber(name: SyscallName): number {
  return NUMBERS[name][column];
}

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EMPTY_PATH = 0x1000;
export const AT_RECURSIVE = 0x8000;

const arm = process.arch === "arm64";
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DIRECTORY = arm ? 0o40000 : 0o200000;
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const EPERM = 1;
export const ENOENT = 2;
export const EBADF = 9;
export const EACCES = 13;
export const EEXIST = 17;
export const ENOTDIR = 20;
export const EINVAL = 22;
export const EROFS = 30;
export const ENAMETOOLONG = 36;
export const ELOOP = 40;

// poll(2)
export const POLLIN = 1;

/** openat2's resolve flags (openat2(2)). */
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_IN_ROOT = 0x10;

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;

export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/** Packs a `struct open_how` (openat2(2)). */
export function packOpenHow(flags: number, mode: number, resolve: number): BigUint64Array {
  return new BigUint64Array([BigInt(flags), BigInt(mode), BigInt(resolve)]);
}

/** Packs two `struct timespec`, from nanoseconds since the epoch. */
export function packTimes(atimeNs: bigint, mtimeNs: bigint): BigInt64Array {
  const out = new BigInt64Array(4);
  [atimeNs, mtimeNs].forEach((ns, i) => {
    // The kernel wants 0 <= tv_nsec < 1e9 also for times before 1970.
    const nsec = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    out[2 * i] = (ns - nsec) / 1_000_000_000n;
    out[2 * i + 1] = nsec;
  });
  return out;
}

/** A device number as mknod(2) takes it (glibc's makedev). */
export function makedev(major: number, minor: number): number {
  return (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12);
}

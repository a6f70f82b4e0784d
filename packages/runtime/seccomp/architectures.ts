/** Properties of architectures that filters depend on, besides system call numbers. */
import type { SeccompArchitecture } from "@berth/oci";

/** Properties of one architecture. */
export interface ArchitectureFacts {
  /** AUDIT_ARCH_* of linux/audit.h, the `arch` of seccomp_data. */
  audit: number;
  /** Significant bits of an argument. */
  bits: 32 | 64;
  bigEndian?: boolean;
  /** Added to every number of the table (x32 has x86-64's audit value and marks its calls by a bit). */
  offset?: number;
  /** Whether sockets and System V IPC are also available by socketcall(2) and ipc(2). */
  multiplexed?: boolean;
}

/** Bit that marks an x32 call. */
export const X32_BIT = 0x40000000;

/** The supported architectures, which have a table of system calls. */
export const ARCHITECTURES: Partial<Record<SeccompArchitecture, ArchitectureFacts>> = {
  SCMP_ARCH_X86_64: { audit: 0xc000003e, bits: 64 },
  SCMP_ARCH_X32: { audit: 0xc000003e, bits: 32, offset: X32_BIT },
  SCMP_ARCH_X86: { audit: 0x40000003, bits: 32, multiplexed: true },
  SCMP_ARCH_AARCH64: { audit: 0xc00000b7, bits: 64 },
  SCMP_ARCH_ARM: { audit: 0x40000028, bits: 32 },
  SCMP_ARCH_RISCV64: { audit: 0xc00000f3, bits: 64 },
  SCMP_ARCH_LOONGARCH64: { audit: 0xc0000102, bits: 64 },
  SCMP_ARCH_PPC64LE: { audit: 0xc0000015, bits: 64, multiplexed: true },
  SCMP_ARCH_S390X: { audit: 0x80000016, bits: 64, bigEndian: true, multiplexed: true },
  SCMP_ARCH_S390: { audit: 0x00000016, bits: 32, bigEndian: true, multiplexed: true },
};

/** The architectures whose programs a machine can run; others in a profile are not compiled. */
export const FAMILIES: Partial<Record<SeccompArchitecture, readonly SeccompArchitecture[]>> = {
  SCMP_ARCH_X86_64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_X86"],
  SCMP_ARCH_X86: ["SCMP_ARCH_X86"],
  SCMP_ARCH_AARCH64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  SCMP_ARCH_ARM: ["SCMP_ARCH_ARM"],
  SCMP_ARCH_RISCV64: ["SCMP_ARCH_RISCV64"],
  SCMP_ARCH_LOONGARCH64: ["SCMP_ARCH_LOONGARCH64"],
  SCMP_ARCH_PPC64LE: ["SCMP_ARCH_PPC64LE"],
  SCMP_ARCH_S390X: ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
  SCMP_ARCH_S390: ["SCMP_ARCH_S390"],
};

// First arguments of socketcall(2) (index + 1) and ipc(2), by the name of the multiplexed call.
const SOCKETCALL =
  "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown \
setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg".split(" ");
const IPC: Record<string, number> = {
  semop: 1,
  semget: 2,
  semctl: 3,
  semtimedop: 4,
  msgsnd: 11,
  msgrcv: 12,
  msgget: 13,
  msgctl: 14,
  shmat: 21,
  shmdt: 22,
  shmget: 23,
  shmctl: 24,
};

/** The multiplexer and first argument that a call is available by, on a multiplexed architecture. */
export function multiplexerOf(name: string): { call: "socketcall" | "ipc"; selector: number } | undefined {
  const socket = SOCKETCALL.indexOf(name);
  if (socket >= 0) return { call: "socketcall", selector: socket + 1 };
  const ipc = IPC[name];
  return ipc === undefined ? undefined : { call: "ipc", selector: ipc };
}

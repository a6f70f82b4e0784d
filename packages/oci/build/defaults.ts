/** Defaults for containers: capabilities, mounts, masked and read-only paths, devices. */
import { present } from "@berth/base";
import type { Mount } from "../runtime/mount.ts";
import type { DeviceRule } from "../runtime/resources.ts";

/** Docker's fourteen capabilities. */
export const DEFAULT_CAPABILITIES: readonly string[] =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL \
AUDIT_WRITE"
    .split(" ")
    .map((word) => `CAP_${word}`);

/** PATH of containers whose image sets none. */
export const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Paths that would expose or change the host; masked in containers. */
export const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
  "/proc/scsi",
];

/** Paths that containers may read but not write. */
export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** /proc, /dev, /dev/pts, /dev/shm, /dev/mqueue and /sys (read-only); fresh objects at each call. */
export function standardMounts(shmBytes = 64 * 1024 * 1024): Mount[] {
  const quiet = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: [...quiet] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...quiet, "mode=1777", `size=${Math.max(1, Math.floor(shmBytes / 1024))}k`],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: [...quiet] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, "ro"] },
  ];
}

/** The container's view of its cgroup. */
export function cgroupMount(readonly: boolean): Mount {
  return {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: ["nosuid", "noexec", "nodev", "relatime", ...(readonly ? ["ro"] : [])],
  };
}

/** Denies all devices but null, full, zero, tty, random, urandom, console, ptmx and pseudo terminals. */
export function defaultDeviceRules(): DeviceRule[] {
  const characters: [number, number?][] = [
    [1, 3], // null
    [1, 8], // random
    [1, 7], // full
    [5, 0], // tty
    [1, 5], // zero
    [1, 9], // urandom
    [5, 1], // console
    [136], // pseudo terminals
    [5, 2], // ptmx
  ];
  return [
    { allow: false, access: "rwm" },
    ...characters.map(([major, minor]) => ({
      allow: true,
      type: "c",
      major,
      ...present({ minor }),
      access: "rwm",
    })),
  ];
}

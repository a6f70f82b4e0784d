/** The `linux` object of config.json. */
import type { IdMapping } from "./mount.ts";
import type { Resources } from "./resources.ts";
import type { Seccomp } from "./seccomp.ts";
import type { Int64 } from "./spec.ts";

/** Linux-specific configuration. */
export interface Linux {
  /** Mappings of a new user namespace. */
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
  /** Kernel parameters by dotted name, of the container's namespaces only. */
  sysctl?: Record<string, string>;
  resources?: Resources;
  /** Path below the cgroup mounts, or "slice:prefix:name" for the systemd driver. */
  cgroupsPath?: string;
  namespaces?: Namespace[];
  /** Device nodes to create besides the default ones. */
  devices?: Device[];
  /** Host network devices to move into the container, by their name on the host. */
  netDevices?: Record<string, { name?: string }>;
  seccomp?: Seccomp;
  /** "private", "slave", "shared", "unbindable", or the same with a leading "r". */
  rootfsPropagation?: string;
  /** Absolute paths in the container that are masked. */
  maskedPaths?: string[];
  /** Absolute paths in the container that are made read-only. */
  readonlyPaths?: string[];
  /** SELinux context of mounts. */
  mountLabel?: string;
  intelRdt?: IntelRdt;
  memoryPolicy?: MemoryPolicy;
  personality?: Personality;
  /** Offsets of the clocks "monotonic" and "boottime" in a new time namespace. */
  timeOffsets?: Record<string, TimeOffset>;
}

/** The specification's namespace types. */
export const NAMESPACE_TYPES = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"] as const;
/** A namespace type. */
export type NamespaceType = (typeof NAMESPACE_TYPES)[number];

/**
 * A namespace of the container: a new one, or the existing one at `path`. Types not listed are inherited from the
 * runtime.
 */
export interface Namespace {
  type: NamespaceType;
  /** Absolute path of a namespace file. */
  path?: string;
}

/** A device node. */
export interface Device {
  /** Absolute path in the container. */
  path: string;
  /** Character, unbuffered character, block device, or FIFO. */
  type: "c" | "u" | "b" | "p";
  /** Required unless it is a FIFO. */
  major?: number;
  minor?: number;
  /** Permission bits as a number. */
  fileMode?: number;
  uid?: number;
  gid?: number;
}

/** Intel Resource Director Technology. */
export interface IntelRdt {
  /** Name of the class of service; the container's id when absent. */
  closID?: string;
  /** Lines for the schemata file. */
  schemata?: string[];
  l3CacheSchema?: string;
  memBwSchema?: string;
  enableMonitoring?: boolean;
}

/** set_mempolicy(2), by name. */
export interface MemoryPolicy {
  /** "MPOL_BIND", ...; required. */
  mode?: string;
  /** Node list, "0-1". */
  nodes?: string;
  /** "MPOL_F_...". */
  flags?: string[];
}

/** personality(2). */
export interface Personality {
  domain: "LINUX" | "LINUX32";
  flags?: string[];
}

/** Offset of a clock. */
export interface TimeOffset {
  secs?: Int64;
  nanosecs?: number;
}

/** linux.resources of config.json: cgroup limits. */
import type { Int64 } from "./spec.ts";

/** All limits; an absent one is left as it is. */
export interface Resources {
  /** Rules of device access; a later rule overrides an earlier one. */
  devices?: DeviceRule[];
  memory?: MemoryLimits;
  cpu?: CpuLimits;
  pids?: { limit?: Int64 };
  blockIO?: BlockIo;
  hugepageLimits?: HugepageLimit[];
  network?: NetworkClass;
  /** By device name. */
  rdma?: Record<string, { hcaHandles?: number; hcaObjects?: number }>;
  /** cgroup v2 files and the values to write. */
  unified?: Record<string, string>;
}

/** Allows or denies access to devices; an absent number stands for all. */
export interface DeviceRule {
  allow: boolean;
  /** "a" (all, the default), "c" or "b". */
  type?: string;
  major?: Int64;
  minor?: Int64;
  /** Letters of r (read), w (write), m (mknod). */
  access?: string;
}

/** Memory limits in bytes, -1 for none. */
export interface MemoryLimits {
  limit?: Int64;
  reservation?: Int64;
  /** Memory and swap together. */
  swap?: Int64;
  kernel?: Int64;
  kernelTCP?: Int64;
  /** 0 to 100. */
  swappiness?: Int64;
  disableOOMKiller?: boolean;
  useHierarchy?: boolean;
  /** Refuse a limit below current usage, where the kernel would reclaim or kill. */
  checkBeforeUpdate?: boolean;
}

/** CPU time; periods, quotas and runtimes in microseconds. */
export interface CpuLimits {
  /** cgroup v1 shares (2 to 262144); converted to a weight on v2. */
  shares?: Int64;
  /** -1 for none. */
  quota?: Int64;
  burst?: Int64;
  period?: Int64;
  realtimeRuntime?: Int64;
  realtimePeriod?: Int64;
  /** CPU list, "0-3,7". */
  cpus?: string;
  /** Memory node list. */
  mems?: string;
  /** 1 marks the cgroup as SCHED_IDLE. */
  idle?: Int64;
}

/** Block device shares and limits. */
export interface BlockIo {
  /** 10 to 1000. */
  weight?: number;
  leafWeight?: number;
  weightDevice?: WeightDevice[];
  throttleReadBpsDevice?: ThrottleDevice[];
  throttleWriteBpsDevice?: ThrottleDevice[];
  throttleReadIOPSDevice?: ThrottleDevice[];
  throttleWriteIOPSDevice?: ThrottleDevice[];
}

/** Weight of one block device. */
export interface WeightDevice {
  major: number;
  minor: number;
  weight?: number;
  leafWeight?: number;
}

/** Limit of one block device, in bytes or operations per second. */
export interface ThrottleDevice {
  major: number;
  minor: number;
  rate: Int64;
}

/** Limit of huge pages of one size. */
export interface HugepageLimit {
  /** "2MB", "1GB", ... */
  pageSize: string;
  /** Bytes. */
  limit: Int64;
}

/** net_cls and net_prio of cgroup v1. */
export interface NetworkClass {
  classID?: number;
  priorities?: { name: string; priority: number }[];
}

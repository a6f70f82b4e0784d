/** A container's resource usage, from the statistics of either cgroup version. */

import { unpack } from "@berth/api/any";
import type { Any } from "@bufbuild/protobuf/wkt";

/** One reading. */
export interface Usage {
  /** Processor time in nanoseconds. */
  cpu: bigint;
  /** Bytes, without reclaimable page cache. */
  memory: number;
  /** Bytes; 0 for no limit. */
  memoryLimit: number;
  pids: number;
  readBytes: number;
  writeBytes: number;
  receivedBytes: number;
  sentBytes: number;
}

// The kernel's "no limit" is a large number: everything above this means none.
const NO_LIMIT = 2n ** 60n;

/** Decodes packed statistics; undefined for an unknown type. */
export async function usageOf(packed: Any): Promise<Usage | undefined> {
  const [v1, v2] = await Promise.all([import("@berth/api/cgroups1"), import("@berth/api/cgroups2")]);
  const two = unpack(v2.MetricsSchema, packed);
  if (two) {
    const io = two.io?.usage ?? [];
    return {
      cpu: (two.cpu?.usageUsec ?? 0n) * 1000n,
      memory: Number((two.memory?.usage ?? 0n) - (two.memory?.inactiveFile ?? 0n)),
      memoryLimit: limit(two.memory?.usageLimit),
      pids: Number(two.pids?.current ?? 0n),
      readBytes: sum(io.map((entry) => entry.rbytes)),
      writeBytes: sum(io.map((entry) => entry.wbytes)),
      receivedBytes: sum(two.network.map((entry) => entry.rxBytes)),
      sentBytes: sum(two.network.map((entry) => entry.txBytes)),
    };
  }
  const one = unpack(v1.MetricsSchema, packed);
  if (!one) return undefined;
  const bytes = (op: string) =>
    sum(
      (one.blkio?.ioServiceBytesRecursive ?? []).filter((e) => e.op.toLowerCase() === op).map((e) => e.value),
    );
  return {
    cpu: one.cpu?.usage?.total ?? 0n,
    memory: Number((one.memory?.usage?.usage ?? 0n) - (one.memory?.totalInactiveFile ?? 0n)),
    memoryLimit: limit(one.memory?.usage?.limit),
    pids: Number(one.pids?.current ?? 0n),
    readBytes: bytes("read"),
    writeBytes: bytes("write"),
    receivedBytes: sum(one.network.map((entry) => entry.rxBytes)),
    sentBytes: sum(one.network.map((entry) => entry.txBytes)),
  };
}

const sum = (values: readonly bigint[]): number => Number(values.reduce((a, b) => a + b, 0n));
const limit = (value: bigint | undefined): number =>
  value === undefined || value > NO_LIMIT ? 0 : Number(value);

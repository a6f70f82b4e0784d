/** Metrics of running containers under containerd's names, `container_*`: what dashboards made for containerd look for. */
import { cgroups1, cgroups2, unpack } from "@berth/api";
import type { TaskShim } from "@berth/shim";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Sample, samplesText } from "./exposition.ts";

interface Metric<T> {
  name: string;
  help: string;
  type: "gauge" | "counter";
  value(metrics: T): bigint | undefined;
}

const PIDS = [
  ["container_pids_current", "Processes and threads.", "current"],
  ["container_pids_limit", "Limit of processes and threads.", "limit"],
] as const;

const V1: readonly Metric<cgroups1.Metrics>[] = [
  {
    name: "container_cpu_total_nanoseconds",
    help: "CPU time.",
    type: "counter",
    value: ({ cpu }) => cpu?.usage?.total,
  },
  {
    name: "container_cpu_user_nanoseconds",
    help: "CPU time outside of the kernel.",
    type: "counter",
    value: ({ cpu }) => cpu?.usage?.user,
  },
  {
    name: "container_cpu_kernel_nanoseconds",
    help: "CPU time in the kernel.",
    type: "counter",
    value: ({ cpu }) => cpu?.usage?.kernel,
  },
  {
    name: "container_memory_usage_usage_bytes",
    help: "Memory.",
    type: "gauge",
    value: ({ memory }) => memory?.usage?.usage,
  },
  {
    name: "container_memory_usage_limit_bytes",
    help: "Limit of memory.",
    type: "gauge",
    value: ({ memory }) => memory?.usage?.limit,
  },
  {
    name: "container_memory_rss_bytes",
    help: "Anonymous memory.",
    type: "gauge",
    value: ({ memory }) => memory?.rss,
  },
  {
    name: "container_memory_cache_bytes",
    help: "Page cache.",
    type: "gauge",
    value: ({ memory }) => memory?.cache,
  },
  ...PIDS.map(([name, help, field]) => ({
    name,
    help,
    type: "gauge" as const,
    value: ({ pids }: cgroups1.Metrics) => pids?.[field],
  })),
];

const V2: readonly Metric<cgroups2.Metrics>[] = [
  {
    name: "container_cpu_usage_usec_microseconds",
    help: "CPU time.",
    type: "counter",
    value: ({ cpu }) => cpu?.usageUsec,
  },
  {
    name: "container_cpu_user_usec_microseconds",
    help: "CPU time outside of the kernel.",
    type: "counter",
    value: ({ cpu }) => cpu?.userUsec,
  },
  {
    name: "container_cpu_system_usec_microseconds",
    help: "CPU time in the kernel.",
    type: "counter",
    value: ({ cpu }) => cpu?.systemUsec,
  },
  {
    name: "container_memory_usage_bytes",
    help: "Memory.",
    type: "gauge",
    value: ({ memory }) => memory?.usage,
  },
  {
    name: "container_memory_usage_limit_bytes",
    help: "Limit of memory.",
    type: "gauge",
    value: ({ memory }) => memory?.usageLimit,
  },
  ...PIDS.map(([name, help, field]) => ({
    name,
    help,
    type: "gauge" as const,
    value: ({ pids }: cgroups2.Metrics) => pids?.[field],
  })),
];

/** Containers that are examined at the same time: those of another's shim answer over a socket. */
const AT_ONCE = 16;

/** The metrics of all running containers. */
export async function containerMetrics(shim: TaskShim, namespaces: readonly string[]): Promise<string> {
  const running = namespaces.flatMap((ns) =>
    shim
      .list(ns)
      .filter(({ status, execId }) => status === "running" && !execId)
      .map(({ id }) => ({ ns, id })),
  );
  const series = new Map<string, { metric: Metric<never>; samples: Sample[] }>();
  const examine = async () => {
    for (let next = running.pop(); next !== undefined; next = running.pop()) {
      const { ns, id } = next;
      // It may end meanwhile.
      const stats = await shim.stats({ namespace: ns, id }).catch(() => undefined);
      for (const [metric, value] of valuesOf(stats)) {
        const found = series.get(metric.name) ?? { metric, samples: [] };
        found.samples.push({ labels: { container_id: id, namespace: ns }, value: Number(value) });
        series.set(metric.name, found);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, examine));
  return [...series.values()]
    .map(({ metric: { name, help, type }, samples }) => samplesText(name, help, type, samples))
    .join("");
}

function valuesOf(stats: Any | undefined): [Metric<never>, bigint][] {
  const read = <T>(metrics: readonly Metric<T>[], found: T) =>
    metrics.flatMap((metric): [Metric<never>, bigint][] => {
      const value = metric.value(found);
      return value === undefined ? [] : [[metric as Metric<never>, value]];
    });
  const v1 = unpack(cgroups1.MetricsSchema, stats);
  if (v1 !== undefined) return read(V1, v1);
  const v2 = unpack(cgroups2.MetricsSchema, stats);
  return v2 === undefined ? [] : read(V2, v2);
}

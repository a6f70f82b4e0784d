/** berth stats: CPU, memory, I/O and processes of containers. */
import { totalmem } from "node:os";
import type { BerthClient, Container, Usage } from "@berth/client";
import { command } from "../command.ts";
import { bool, text } from "../flags.ts";
import { type Column, printRows, type Row } from "../format/rows.ts";
import { formatBinarySize, formatSize } from "../units.ts";

const INTERVAL_MS = 1000;
const COLUMNS: readonly Column[] = [
  { title: "CONTAINER ID", field: "ID" },
  { title: "NAME", field: "Name" },
  { title: "CPU %", field: "CPUPerc" },
  { title: "MEM USAGE / LIMIT", field: "MemUsage" },
  { title: "MEM %", field: "MemPerc" },
  { title: "NET I/O", field: "NetIO" },
  { title: "BLOCK I/O", field: "BlockIO" },
  { title: "PIDS", field: "PIDs" },
];

interface Reading {
  container: Container;
  usage: Usage;
  at: number;
}

export default command({
  usage: "[CONTAINER...]",
  summary: "Show what containers use",
  flags: {
    noStream: bool("Once, not again and again"),
    format: text("TEMPLATE", '"json", a Go template, or "table TEMPLATE"'),
  },
  args: [0, Number.POSITIVE_INFINITY],
  async run(context, flags, names) {
    const client = await context.client();
    const chosen =
      names.length > 0 ? await Promise.all(names.map((name) => client.containers.find(name))) : undefined;
    const live = !flags.noStream && process.stdout.isTTY === true && flags.format === undefined;
    let before = await readAll(client, chosen);
    for (;;) {
      // CPU percentages need two samples.
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
      const now = await readAll(client, chosen);
      const rows = [...now].map(([id, reading]) => rowOf(reading, before.get(id)));
      if (live) context.out("\x1b[2J\x1b[H");
      printRows(context, rows, COLUMNS, flags.format);
      if (flags.noStream) return 0;
      before = now;
    }
  },
});

async function readAll(
  client: BerthClient,
  chosen: readonly Container[] | undefined,
): Promise<Map<string, Reading>> {
  const [containers, { metrics }] = await Promise.all([
    chosen ?? client.containers.list(),
    client.tasks.raw.metrics({ filters: [] }),
  ]);
  const { usageOf } = await import("@berth/client");
  const found = new Map<string, Reading>();
  const at = performance.now();
  for (const container of containers) {
    const data = metrics.find((metric) => metric.id === container.id)?.data;
    const usage = data && (await usageOf(data));
    if (usage) found.set(container.id, { container, usage, at });
  }
  return found;
}

/** A sample as a row of docker's field names; the CPU share is relative to `before`. */
export function rowOf(reading: Reading, before: Reading | undefined): Row {
  const { container, usage } = reading;
  const elapsed = before ? (reading.at - before.at) * 1e6 : 0;
  const cpu = before && elapsed > 0 ? (Number(usage.cpu - before.usage.cpu) / elapsed) * 100 : 0;
  const limit = usage.memoryLimit > 0 ? Math.min(usage.memoryLimit, totalmem()) : totalmem();
  return {
    ID: container.id.slice(0, 12),
    Name: container.name,
    CPUPerc: `${Math.max(0, cpu).toFixed(2)}%`,
    MemUsage: `${formatBinarySize(usage.memory)} / ${formatBinarySize(limit)}`,
    MemPerc: `${((usage.memory / limit) * 100).toFixed(2)}%`,
    NetIO: `${formatSize(usage.receivedBytes)} / ${formatSize(usage.sentBytes)}`,
    BlockIO: `${formatSize(usage.readBytes)} / ${formatSize(usage.writeBytes)}`,
    PIDs: String(usage.pids),
  };
}

/**
 * Ships containers' output: one line of JSON for each line of their logs, of existing and future containers.
 *
 *     node examples/log-shipper.ts    # as root, until SIGINT or SIGTERM
 */
import { connect, DEFAULT_ADDRESS } from "@berth/client";
import { logLines } from "./log-lines.ts";

/** The fields used here of the events /tasks/create and /containers/delete. */
type TaskEvent = { containerId: string; io?: { stdout: string }; id: string };

const { BERTH_ADDRESS: address = DEFAULT_ADDRESS } = process.env;
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop.abort());

await using client = connect({ address });
const followed = new Map<string, { ended: AbortController; done: Promise<void> }>();
const since = new Date();
for (const { containerId, io } of await client.tasks.list()) follow(containerId, io.stdout);

// From a moment before the list on, so that no container is missed in between.
const filters = ["/tasks/create", "/containers/delete"].map(
  (topic) => `topic=="${topic}",namespace=="${client.namespace}"`,
);
try {
  for await (const { topic, event } of client.events.follow({ since, filters, signal: stop.signal })) {
    const task = event as unknown as TaskEvent;
    if (topic === "/tasks/create") follow(task.containerId, task.io?.stdout ?? "");
    else followed.get(task.id)?.ended.abort();
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
for (const { ended } of followed.values()) ended.abort();
await Promise.all([...followed.values()].map(({ done }) => done));

/** Ships a container's log until the container is removed: a restart writes to the same log. */
function follow(id: string, stdout: string): void {
  if (followed.has(id) || !stdout.startsWith("cri-log://")) return;
  const ended = new AbortController();
  const done = ship(id, decodeURIComponent(new URL(stdout).pathname), ended.signal)
    .catch((error) => console.error(`log of ${id}: ${error.message}`))
    .finally(() => followed.delete(id));
  followed.set(id, { ended, done });
}

/** A line of a log is "TIME stdout|stderr F|P TEXT"; P means that the text continues in the stream's next line. */
async function ship(container: string, path: string, ended: AbortSignal): Promise<void> {
  for await (const line of logLines(path, ended)) {
    const [, time, stream, tag, text] = /^(\S+) (stdout|stderr) ([FP])\S* ?(.*)$/.exec(line) ?? [];
    if (time === undefined) continue;
    console.log(JSON.stringify({ time, container, stream, text, ...(tag === "P" && { partial: true }) }));
  }
}

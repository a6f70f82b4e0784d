/**
 * Ships containers' output: one line of JSON for each line of their logs, of existing and future containers.
 *
 *     node examples/log-shipper.ts    # as root, until SIGINT or SIGTERM
 */
import { connect, DEFAULT_ADDRESS, readLog } from "@berth/client";

/** The fields used here of the events /tasks/create and /containers/delete. */
type TaskEvent = { containerId: string; io?: { stdout: string }; id: string };

const { BERTH_ADDRESS: address = DEFAULT_ADDRESS } = process.env;
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop.abort());

await using client = connect({ address });
const followed = new Map<string, { end: () => void; done: Promise<void> }>();
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
    else followed.get(task.id)?.end();
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
for (const { end } of followed.values()) end();
await Promise.all([...followed.values()].map(({ done }) => done));

/** Ships a container's log until the container is removed: a restart writes to the same log. */
function follow(id: string, stdout: string): void {
  if (followed.has(id) || !stdout.startsWith("cri-log://")) return;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const done = ship(id, decodeURIComponent(new URL(stdout).pathname), ended)
    .catch((error) => console.error(`log of ${id}: ${error.message}`))
    .finally(() => followed.delete(id));
  followed.set(id, { end, done });
}

/** Writes each entry as a line of JSON; `partial` means that the text continues in the stream's next entry. */
async function ship(container: string, path: string, ended: Promise<unknown>): Promise<void> {
  for await (const { time, stream, text, complete } of readLog(path, { ended }))
    console.log(JSON.stringify({ time, container, stream, text, ...(complete ? {} : { partial: true }) }));
}

/** berth events: what happens in the daemon, as it happens. */
import { command } from "../command.ts";
import { list, text, usageError } from "../flags.ts";
import { parseTemplate } from "../format/template.ts";

export default command({
  usage: "",
  summary: "Show events as they happen",
  flags: {
    filter: list("FILTER", "Only those a containerd filter matches: 'topic==\"/tasks/exit\"'", "f"),
    format: text("TEMPLATE", '"json" or a Go template ("{{.Topic}} {{.ID}}")'),
  },
  args: [0, 0],
  async run(context, flags) {
    if (flags.filter.some((filter) => filter.trim() === ""))
      throw usageError("--filter: found an empty filter");
    const client = await context.client();
    const template =
      flags.format === undefined || flags.format === "json" ? undefined : parseTemplate(flags.format);
    const abort = new AbortController();
    const stop = () => abort.abort();
    process.once("SIGINT", stop);
    process.once("SIGTERM", stop);
    try {
      for await (const event of client.events.subscribe(flags.filter, { signal: abort.signal })) {
        const facts = readable(event.event ?? {}) as Record<string, unknown>;
        const shown = {
          Time: event.timestamp?.toISOString() ?? "",
          Namespace: event.namespace,
          Topic: event.topic,
          ID: String(facts.containerId ?? facts.id ?? facts.name ?? facts.key ?? ""),
          Event: facts,
        };
        const json = (value: unknown) => JSON.stringify(value);
        if (template) context.out(`${template(shown)}\n`);
        else if (flags.format === "json") context.out(`${json(shown)}\n`);
        else context.out(`${shown.Time} ${shown.Namespace} ${shown.Topic} ${json(facts)}\n`);
      }
      return 0;
    } catch (error) {
      if (abort.signal.aborted) return 0;
      throw error;
    } finally {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
    }
  },
});

// A message as plain JSON: no type names, times as people write them, bytes by their number.
function readable(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== "object" || value === null) return value;
  const { $typeName, $unknown: _unknown, ...fields } = value as Record<string, unknown>;
  if ($typeName === "google.protobuf.Timestamp")
    return new Date(Number(fields.seconds) * 1000 + Number(fields.nanos) / 1e6).toISOString();
  return Object.fromEntries(Object.entries(fields).map(([key, each]) => [key, readable(each)]));
}

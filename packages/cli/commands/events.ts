/** berth events: the daemon's events, live and past. */
import type { FollowOptions } from "@berth/client";
import { command } from "../command.ts";
import { dockerFilter, parseFilters } from "../events/filter.ts";
import { type Shown, subjectOf, termsOf } from "../events/terms.ts";
import { list, text, wholeNumber } from "../flags.ts";
import { parseTemplate } from "../format/template.ts";
import { parseMoment } from "../units.ts";

export default command({
  usage: "",
  summary: "Show events as they happen, and those that have happened",
  flags: {
    filter: list(
      "FILTER",
      "Only those with type, event, container, image, label or namespace=VALUE, or containerd's: 'topic==\"/tasks/exit\"'",
      "f",
    ),
    format: text("TEMPLATE", '"json" or a Go template ("{{.Topic}} {{.ID}}")'),
    since: text("TIME", "From this moment on: 2026-01-31T12:00:00Z, or 10m ago"),
    until: text("TIME", "Up to this moment, then end"),
    after: text("SEQUENCE", "After the event with this number"),
  },
  args: [0, 0],
  async run(context, flags) {
    const filters = parseFilters(flags.filter);
    const template =
      flags.format === undefined || flags.format === "json" ? undefined : parseTemplate(flags.format);
    const abort = new AbortController();
    const options: FollowOptions = {
      filters: filters.containerd,
      signal: abort.signal,
      ...(flags.since === undefined ? {} : { since: parseMoment("--since", flags.since) }),
      ...(flags.until === undefined ? {} : { until: parseMoment("--until", flags.until) }),
      ...(flags.after === undefined ? {} : { after: wholeNumber("--after", flags.after) }),
    };
    // An end in the past leaves nothing to wait for; without --since, docker shows everything from the beginning.
    if (options.until && options.until.getTime() <= Date.now() && !options.after)
      options.since ??= new Date(1);
    const client = await context.client();
    const wanted = await dockerFilter(client, filters.docker);
    const stop = () => abort.abort();
    process.once("SIGINT", stop);
    process.once("SIGTERM", stop);
    try {
      for await (const event of client.events.follow(options)) {
        const facts = readable(event.event ?? {}) as Record<string, unknown>;
        const [type, action] = termsOf(event.topic, facts);
        const shown: Shown = {
          Sequence: event.sequence,
          Time: event.timestamp?.toISOString() ?? "",
          Namespace: event.namespace,
          Topic: event.topic,
          Type: type,
          Action: action,
          ID: subjectOf(facts),
          Event: facts,
        };
        if (!(await wanted(shown))) continue;
        const json = (value: unknown) => JSON.stringify(value);
        if (template) context.out(`${template({ ...shown })}\n`);
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

// A message as plain JSON: no type names, RFC 3339 times, bytes as their count.
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

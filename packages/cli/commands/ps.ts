/** berth ps: containers and their states. */

import { userLabels } from "@berth/client";
import { familiarName } from "@berth/oci";
import { command } from "../command.ts";
import { asksForStopped, containerFilter } from "../container/filters.ts";
import { restartsOf } from "../container/labels.ts";
import { isUp, type Seen, seenOf, statusText } from "../container/state.ts";
import { bool, list, text, wholeNumber } from "../flags.ts";
import { type Column, printRows, type Row, shorten } from "../format/rows.ts";
import { formatSpan } from "../units.ts";

const COLUMNS: readonly Column[] = [
  { title: "CONTAINER ID", field: "ID" },
  { title: "IMAGE", field: "Image" },
  { title: "COMMAND", field: "Command" },
  { title: "CREATED", field: "RunningFor" },
  { title: "STATUS", field: "Status" },
  { title: "PORTS", field: "Ports" },
  { title: "NAMES", field: "Names" },
];

export default command({
  usage: "",
  summary: "List containers",
  flags: {
    all: bool("Those that do not run, too", "a"),
    quiet: bool("Ids only", "q"),
    noTrunc: bool("Do not shorten"),
    filter: list(
      "KEY=VALUE",
      "Only those with id, name, label, status, ancestor, exited, before or since",
      "f",
    ),
    format: text("TEMPLATE", '"json", a Go template ("{{.Names}}"), or "table TEMPLATE"'),
    last: text("NUMBER", "The last ones made, whatever they do"),
    latest: bool("The last one made, whatever it does", "l"),
  },
  args: [0, 0],
  async run(context, flags) {
    const client = await context.client();
    const [containers, tasks] = await Promise.all([client.containers.list(), client.tasks.list()]);
    const byId = new Map(tasks.map((task) => [task.containerId, task]));
    const seen = containers
      .map((container) => seenOf(container, byId.get(container.id)))
      .sort((a, b) => (b.container.createdAt?.getTime() ?? 0) - (a.container.createdAt?.getTime() ?? 0));
    const wanted = containerFilter(flags.filter, seen);
    const last = flags.latest
      ? 1
      : flags.last === undefined
        ? undefined
        : wholeNumber("--last", flags.last, 1);
    const all = flags.all || last !== undefined || asksForStopped(flags.filter);
    const shown = seen
      .filter((each) => all || isUp(each.state))
      .filter(wanted)
      .slice(0, last);
    if (flags.quiet && flags.format === undefined) {
      for (const { container } of shown)
        context.out(`${flags.noTrunc ? container.id : container.id.slice(0, 12)}\n`);
      return 0;
    }
    printRows(
      context,
      shown.map((each) => rowOf(each, flags.noTrunc)),
      COLUMNS,
      flags.format,
    );
    return 0;
  },
});

/** A container as a row of docker's field names. */
export function rowOf(seen: Seen, full: boolean, now = Date.now()): Row {
  const { container } = seen;
  const made = container.createdAt;
  const args = container.spec().process?.args ?? [];
  return {
    ID: full ? container.id : container.id.slice(0, 12),
    Image: imageText(container.image),
    Command: `"${full ? args.join(" ") : shorten(args.join(" "), 20)}"`,
    RunningFor: made ? `${formatSpan(now - made.getTime())} ago` : "",
    CreatedAt: made ? made.toISOString() : "",
    Status: statusText(seen, now),
    State: seen.state,
    Ports: "",
    Names: container.name,
    RestartCount: String(restartsOf(container.labels)),
    Labels: Object.entries(userLabels(container.labels))
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
  };
}

function imageText(name: string): string {
  if (name === "") return "<none>";
  const { repository, tag } = familiarName(name);
  return tag === "latest" || tag === "<none>" ? repository : `${repository}:${tag}`;
}

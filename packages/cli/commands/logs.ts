/** berth logs: a container's output, past and live. */
import { present } from "@berth/base";
import type { LogEntry } from "@berth/client";
import { type Context, command } from "../command.ts";
import { bool, text, wholeNumber } from "../flags.ts";
import { parseMoment } from "../units.ts";

export default command({
  usage: "CONTAINER",
  summary: "Show what a container wrote",
  flags: {
    follow: bool("Go on as it writes", "f"),
    tail: text("NUMBER", 'Only the last lines (default "all")', "n"),
    since: text("TIME", "Only from then on: a time, or a span before now (10m)"),
    until: text("TIME", "Only up to then"),
    timestamps: bool("Show when each line was written", "t"),
  },
  args: [1, 1],
  async run(context, flags, [name]) {
    const { tail, since, until, follow } = flags;
    const options = present({
      since: since === undefined ? undefined : parseMoment("--since", since),
      until: until === undefined ? undefined : parseMoment("--until", until),
      tail: tail === undefined || tail === "all" ? undefined : wholeNumber("--tail", tail, 0),
    });
    const client = await context.client();
    const container = await client.containers.find(name!);
    const print = printer(context, flags.timestamps);
    for await (const batch of container.logBatches({ ...options, follow })) {
      print(batch);
      // So that a closed pipe is noticed.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return 0;
  },
});

/** Prints entries with few writes; a line that was logged in parts is put together again. */
function printer(context: Context, timestamps: boolean): (entries: readonly LogEntry[]) => void {
  const continued = { stdout: false, stderr: false };
  return (entries) => {
    let stream: LogEntry["stream"] = "stdout";
    let waiting = "";
    const flush = () => {
      if (waiting === "") return;
      if (stream === "stderr") context.err(waiting);
      else context.out(waiting);
      waiting = "";
    };
    for (const entry of entries) {
      // Both streams may lead to the same place: keep their order.
      if (entry.stream !== stream) flush();
      stream = entry.stream;
      const head = timestamps && !continued[stream] ? `${entry.time} ` : "";
      waiting += `${head}${entry.text}${entry.complete ? "\n" : ""}`;
      continued[stream] = !entry.complete;
    }
    flush();
  };
}

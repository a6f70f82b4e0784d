/** berth logs: a container's output, past and live. */
import { existsSync, watch } from "node:fs";
import { dirname } from "node:path";
import { BerthError } from "@berth/base";
import { type Container, LABEL, type Task } from "@berth/client";
import { type Context, command } from "../command.ts";
import { bool, text, wholeNumber } from "../flags.ts";
import { isSelected, type LogEntry, type LogSelection, parseLogLine, renderEntry } from "../logs/cri.ts";
import { LineReader, tailPosition } from "../logs/file.ts";
import { parseMoment } from "../units.ts";

// For file systems without change notification.
const POLL_MS = 500;

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
    const client = await context.client();
    const container = await client.containers.find(name!);
    const path = container.labels[LABEL.logPath];
    if (path === undefined)
      throw new BerthError("not_found", `container ${container.name} has no log`, {
        hint: "Only containers that berth made have one.",
      });
    const selection: LogSelection = {
      ...(flags.since === undefined ? {} : { since: parseMoment("--since", flags.since) }),
      ...(flags.until === undefined ? {} : { until: parseMoment("--until", flags.until) }),
    };
    const tail =
      flags.tail === undefined || flags.tail === "all" ? undefined : wholeNumber("--tail", flags.tail, 0);
    if (!existsSync(path)) {
      if (!flags.follow) return 0;
      await appears(path, container);
      if (!existsSync(path)) return 0;
    }
    // Looked up before anything is shown: from then on the daemon may restart.
    const task = flags.follow ? await container.task() : undefined;
    const start = tail === undefined ? undefined : tailPosition(path, tail);
    const reader = new LineReader(path, start?.file, start?.position);
    const print = printer(context, selection, flags.timestamps);
    try {
      await printAll(reader, print);
      if (flags.follow) await follow(reader, path, task, print);
    } finally {
      reader.close();
    }
    return 0;
  },
});

/** Prints entries, batched into few writes. */
interface Printer {
  /** Returns true when it is time to yield. */
  add(line: string): boolean;
  flush(): void;
}

const BATCH = 64 * 1024;

/** Prints what is available, yielding now and then so that a closed pipe is noticed. */
async function printAll(reader: LineReader, print: Printer): Promise<void> {
  for (const line of reader.read())
    if (print.add(line)) await new Promise((resolve) => setImmediate(resolve));
  print.flush();
}

function printer(context: Context, selection: LogSelection, timestamps: boolean): Printer {
  const continued = { stdout: false, stderr: false };
  let stream: LogEntry["stream"] = "stdout";
  let waiting = "";
  const flush = () => {
    if (waiting === "") return;
    if (stream === "stderr") context.err(waiting);
    else context.out(waiting);
    waiting = "";
  };
  return {
    add: (line) => {
      const entry: LogEntry | undefined = parseLogLine(line);
      if (!entry || !isSelected(entry, selection)) return false;
      // Both streams may lead to the same place: keep their order.
      if (entry.stream !== stream) flush();
      stream = entry.stream;
      waiting += renderEntry(entry, timestamps, continued[stream]);
      continued[stream] = !entry.complete;
      if (waiting.length < BATCH) return false;
      flush();
      return true;
    },
    flush,
  };
}

async function follow(
  reader: LineReader,
  path: string,
  task: Task | undefined,
  print: Printer,
): Promise<void> {
  let wake = () => {};
  let ended = task === undefined;
  // Watches the folder, as rotation renames the file.
  const watcher = watch(dirname(path), () => wake());
  watcher.on("error", () => {});
  if (task)
    task
      .waitForEnd()
      .catch(() => {})
      .finally(() => {
        ended = true;
        wake();
      });
  try {
    for (;;) {
      // Read before the log, so that everything written before the end is printed.
      const last = ended;
      await printAll(reader, print);
      if (last) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    watcher.close();
  }
}

// A created container that was never started has no log file.
async function appears(path: string, container: Container): Promise<void> {
  while (!existsSync(path)) {
    const task = await container.task();
    if ((await task?.state().catch(() => undefined))?.status === "stopped") return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Entries of a container's log, past and live, across rotations. */
import { existsSync, watch } from "node:fs";
import { dirname } from "node:path";
import { isSelected, type LogEntry, type LogSelection, parseLogLine } from "./cri.ts";
import { LineReader, tailPosition } from "./file.ts";

/** What to read of a log. */
export interface ReadLogOptions extends LogSelection {
  /** Only the last lines. Default: all. */
  tail?: number;
  /** Follow the log until this resolves; what was written before is read to its end. Default: do not follow. */
  ended?: Promise<unknown>;
  /** Stops reading with the signal's reason. */
  signal?: AbortSignal;
}

/** For file systems without change notification, in milliseconds. */
const POLL_MS = 500;
/** Entries of a batch: at most 4 MiB, as an entry has 16 KiB at most. */
const BATCH = 256;

/** Entries of the log at `path`, oldest first; each only once, though files are renamed meanwhile. */
export async function* readLog(path: string, options: ReadLogOptions = {}): AsyncGenerator<LogEntry> {
  for await (const batch of readLogBatches(path, options)) yield* batch;
}

/** As {@link readLog}, many entries at a time: ten million lines would be as many promises. */
export async function* readLogBatches(
  path: string,
  options: ReadLogOptions = {},
): AsyncGenerator<LogEntry[]> {
  const { tail, ended, signal } = options;
  const changes = new Changes(path, signal);
  let over = ended === undefined;
  const end = () => {
    over = true;
    changes.wake();
  };
  ended?.then(end, end);
  let reader: LineReader | undefined;
  try {
    for (;;) {
      signal?.throwIfAborted();
      // Checked before reading: then this read returns everything that was written before the end.
      const last = over;
      if (reader === undefined && existsSync(path)) {
        reader = new LineReader(path, tail === undefined ? undefined : tailPosition(path, tail));
      }
      if (reader !== undefined) yield* batches(reader, options);
      if (last) return;
      await changes.next();
    }
  } finally {
    reader?.close();
    changes.close();
  }
}

function* batches(reader: LineReader, selection: LogSelection): Generator<LogEntry[]> {
  let batch: LogEntry[] = [];
  for (const line of reader.read()) {
    const entry = parseLogLine(line);
    if (entry === undefined || !isSelected(entry, selection)) continue;
    if (batch.push(entry) < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Changes of a log: its folder is watched, as rotation renames the files. */
class Changes {
  readonly #signal: AbortSignal | undefined;
  readonly #close: () => void;
  #wake = () => {};

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#signal = signal;
    const wake = () => this.wake();
    signal?.addEventListener("abort", wake, { once: true });
    let watcher: ReturnType<typeof watch> | undefined;
    try {
      watcher = watch(dirname(path), wake);
      watcher.on("error", () => {});
    } catch {
      // The folder is made with the container's first start.
    }
    this.#close = () => {
      signal?.removeEventListener("abort", wake);
      watcher?.close();
    };
  }

  wake(): void {
    this.#wake();
  }

  /** Resolves when something has changed, or after a while. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#signal?.aborted) return resolve();
      const timer = setTimeout(resolve, POLL_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    this.#wake();
    this.#close();
  }
}

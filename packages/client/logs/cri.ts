/** Log lines in CRI format: "2026-01-31T12:00:00.123456789Z stdout F text". */

/** One entry. */
export interface LogEntry {
  /** As written: RFC 3339 with nanoseconds. */
  time: string;
  stream: "stdout" | "stderr";
  /** False if the line continues in the stream's next entry. */
  complete: boolean;
  text: string;
}

/** Parses one line (without its newline); undefined if it is not in CRI format. */
export function parseLogLine(line: string): LogEntry | undefined {
  const first = line.indexOf(" ");
  const second = line.indexOf(" ", first + 1);
  const third = line.indexOf(" ", second + 1);
  if (first < 0 || second < 0) return undefined;
  const stream = line.slice(first + 1, second);
  const tag = third < 0 ? line.slice(second + 1) : line.slice(second + 1, third);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  if (!tag.startsWith("F") && !tag.startsWith("P")) return undefined;
  return {
    time: line.slice(0, first),
    stream,
    complete: tag.startsWith("F"),
    text: third < 0 ? "" : line.slice(third + 1),
  };
}

/** Limits on the time of entries. */
export interface LogSelection {
  since?: Date;
  until?: Date;
}

/** Whether an entry is within the selected times; compares milliseconds. */
export function isSelected(entry: LogEntry, selection: LogSelection): boolean {
  if (!selection.since && !selection.until) return true;
  const time = Date.parse(entry.time);
  if (selection.since && time < selection.since.getTime()) return false;
  return !(selection.until && time > selection.until.getTime());
}

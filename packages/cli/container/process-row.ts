/** Facts of processes, from /proc. */
import { readFileSync } from "node:fs";
import { startedAt } from "./state.ts";

/** A row for `top`: user, pid, parent, state, start, CPU time, command. Undefined if the process has exited. */
export function processRow(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "?";
    const seconds = Math.floor((Number(fields[11]) + Number(fields[12])) / 100);
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    return [
      uid,
      String(pid),
      fields[1] ?? "?",
      fields[0] ?? "?",
      startedAt(pid)?.toTimeString().slice(0, 5) ?? "?",
      [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
        .map((part) => String(part).padStart(2, "0"))
        .join(":"),
      command || `[${stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"))}]`,
    ];
  } catch {
    return undefined;
  }
}

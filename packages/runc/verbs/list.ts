import { BerthError } from "@berth/base";
import { list } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import { shownState } from "../listing.ts";

/** Columns as wide as their longest cell plus three spaces, at least twelve, like Go's tabwriter(12, 1, 3). */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(12, ...rows.map((r) => r[i]!.length + 3)));
  return rows
    .map((r) => `${r.map((cell, i) => (i === r.length - 1 ? cell : cell.padEnd(widths[i]!))).join("")}\n`)
    .join("");
}

export const command = defineCommand({
  usage: "list [options]",
  help: "list the containers below the root",
  flags: {
    format: { type: "string", short: "f", help: "table (default) or json" },
    quiet: { type: "bool", short: "q", help: "print ids only" },
  },
  args: [0, 0],
  async run({ runtime, out, explicitRoot }, flags) {
    if (explicitRoot && runtime.sys.stat(runtime.root) === undefined)
      throw new BerthError("not_found", `open ${runtime.root}: no such file or directory`, {
        stage: "state",
        path: runtime.root,
      });
    const shown = list(runtime).map((c) => shownState(runtime.sys, c));
    const format = flags.format ?? "table";
    if (format !== "table" && format !== "json")
      throw new BerthError(
        "invalid_argument",
        `--format: found ${JSON.stringify(format)}, expected table or json`,
        { stage: "flags" },
      );
    if (flags.quiet) out(shown.map((c) => `${c.id}\n`).join(""));
    else if (format === "json") out(shown.length === 0 ? "null" : JSON.stringify(shown));
    else {
      out(
        table([
          ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
          ...shown.map((c) => [c.id, String(c.pid), c.status, c.bundle, c.created, c.owner]),
        ]),
      );
    }
    return 0;
  },
});

import { BerthError } from "@berth/base";
import { pids } from "@berth/runtime";
import { findProgram, type Sys } from "@berth/sys";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  usage: "ps [options] ID [PS-OPTIONS...]",
  help: "list a container's processes, by ps(1) with its options (default: -ef)",
  flags: { format: { type: "string", short: "f", help: "table (default) or json" } },
  ordered: true,
  args: [1, 100],
  async run({ runtime, out }, flags, [id, ...options]) {
    const members = pids(runtime, id!);
    const format = flags.format ?? "table";
    if (format === "json") {
      out(`${JSON.stringify(members)}\n`);
      return 0;
    }
    if (format !== "table")
      throw new BerthError(
        "invalid_argument",
        `--format: found ${JSON.stringify(format)}, expected table or json`,
        { stage: "flags" },
      );
    const lines = await processTable(runtime.sys, options.length === 0 ? ["-ef"] : options);
    const column = lines[0]!.trim().split(/\s+/).indexOf("PID");
    if (column < 0)
      throw new BerthError("invalid_argument", "ps: its output has no PID column", {
        stage: "flags",
        hint: "choose ps options that print one",
      });
    const own = new Set(members.map(String));
    out(`${lines[0]}\n`);
    for (const line of lines.slice(1)) if (own.has(line.trim().split(/\s+/)[column] ?? "")) out(`${line}\n`);
    return 0;
  },
});

const PS_MS = 10_000;
const MAX_OUTPUT = 16 << 20;

/** The output of ps(1), line by line. */
async function processTable(sys: Sys, args: readonly string[]): Promise<string[]> {
  const path = findProgram(sys, "ps");
  if (path === undefined)
    throw new BerthError("not_found", "ps was not found in $PATH", {
      stage: "ps",
      hint: "install it (Debian: procps), or use --format json",
    });
  const { code, signal, stdout, stderr } = await sys.run({
    path,
    args,
    cwd: sys.cwd(),
    env: sys.environment(),
    timeoutMs: PS_MS,
    maxOutput: MAX_OUTPUT,
  });
  const text = new TextDecoder();
  if (code !== 0)
    throw new BerthError(
      "invalid_argument",
      `ps: ${text.decode(stderr).trim() || (signal ?? `exit ${code}`)}`,
      {
        stage: "ps",
      },
    );
  return text.decode(stdout).split("\n");
}

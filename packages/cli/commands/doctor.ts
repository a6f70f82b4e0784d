/** berth doctor: finds problems of the host, and leaks; --fix removes the leaks. */
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { BerthError, isCode } from "@berth/base";
import type { Examination, LeakFinding } from "@berth/client";
import { type Context, command } from "../command.ts";
import { bool, text } from "../flags.ts";
import { tableOf } from "../format/rows.ts";

export default command({
  usage: "",
  summary: "Find what is wrong with the host, and what is left over of containers",
  flags: {
    fix: bool("Remove what is left over"),
    json: bool("As JSON"),
    root: text("DIR", "The daemon's root directory, when it does not run (default /var/lib/berth)"),
    state: text("DIR", "The daemon's state directory, when it does not run (default: where its socket is)"),
  },
  args: [0, 0],
  async run(context, flags) {
    const found = await examination(context, flags);
    const left = found.findings.filter(({ fixed }) => !fixed);
    const problems = found.host.filter(({ level }) => level === "problem");
    if (flags.json) context.out(`${JSON.stringify(found, undefined, 2)}\n`);
    else show(context, found, flags.fix);
    return left.length + problems.length > 0 ? 1 : 0;
  },
});

async function examination(
  context: Context,
  flags: { fix: boolean; root: string | undefined; state: string | undefined },
): Promise<Examination> {
  const request = { fix: flags.fix, temporaryFolders: [tmpdir()] };
  const { examine } = await import("@berth/client");
  try {
    return await examine((await context.client()).connection, request);
  } catch (error) {
    if (!isCode(error, "unavailable") || context.deps.berthd === undefined) throw error;
    const socket = context.address.replace(/^unix:\/\//, "");
    const state = flags.state ?? dirname(socket);
    const args = ["--state", state, "--temporary", tmpdir(), ...(flags.fix ? ["--fix"] : [])];
    if (flags.root !== undefined) args.push("--root", flags.root);
    context.err("No daemon answers: looking at what it left.\n");
    const { out, err, code } = await context.deps.berthd(["--doctor", ...args]);
    if (code !== 0)
      throw new BerthError(
        "failed_precondition",
        err.trim().replace(/^berthd: /, "") || "the examination failed",
        {
          cause: error,
        },
      );
    return JSON.parse(out) as Examination;
  }
}

function show(context: Context, { host, findings }: Examination, fix: boolean): void {
  const mark = { ok: "ok", note: "note", problem: "PROBLEM" } as Record<string, string>;
  context.out(tableOf(host.map(({ name, level, found }) => [mark[level] ?? level, name, found])));
  for (const { name, level, fix: advice } of host) if (level !== "ok") context.out(`${name}: ${advice}.\n`);
  context.out("\n");
  if (findings.length === 0) {
    context.out("Nothing is left over.\n");
    return;
  }
  for (const finding of findings) context.out(`${line(finding, fix)}\n`);
  const left = findings.filter(({ fixed }) => !fixed).length;
  if (!fix) context.out(`\n${left} left over: berth doctor --fix removes them.\n`);
  else context.out(`\n${findings.length - left} removed, ${left} left.\n`);
}

function line({ kind, where, why, fix, fixed, error }: LeakFinding, fixing: boolean): string {
  const state = fixed ? "removed" : fixing ? "STILL THERE" : "left over";
  const next = fixed ? "" : error === "" ? `\n    fix: ${fix}` : `\n    ${error}`;
  return `${state}: ${kind} ${where}\n    ${why}${next}`;
}

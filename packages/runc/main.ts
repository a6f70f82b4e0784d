/** `berth-runc`: the runtime's command line, with runc's verbs, flags, messages and exit codes. */
import { BerthError, COMMIT, configureLog, type LogLevel, present, VERSION } from "@berth/base";
import { defaultRoot, openRuntime } from "@berth/runtime";
import { commandSys } from "@berth/sys";
import type { Command } from "./command.ts";
import { checkArgs, parseFlags } from "./flags.ts";
import { cgroupManager, type GlobalFlags, globalFlags, refuseUnsupported } from "./global-flags.ts";
import { commandHelp, help } from "./help.ts";
import { logLine } from "./log-lines.ts";
import { withVerb } from "./verb-error.ts";
import { VERBS } from "./verb-table.ts";

const SPEC_VERSION = "1.3.0";

// Directly to the descriptors: process.stdout and process.stderr cost 9 ms to set up.
const out = (text: string) => commandSys.write(1, new TextEncoder().encode(text));
const err = (text: string) => commandSys.write(2, new TextEncoder().encode(text));

const FORMATS = ["text", "json"] as const;
const LEVELS: Readonly<Record<string, LogLevel>> = {
  debug: "debug",
  info: "info",
  warning: "warn",
  warn: "warn",
  error: "error",
};

/** Reports an error to the log file (engines read the last line of a JSON log), and its message to standard error. */
function report(error: BerthError, flags: GlobalFlags): void {
  const format = flags["log-format"] === "json" ? "json" : "text";
  const line = logLine(format, "error", error.message, error.hint === undefined ? {} : { hint: error.hint });
  try {
    if (flags.log !== undefined) {
      commandSys.appendFile(flags.log, `${line}\n`, 0o640);
      err(`${error.message}\n`);
      return;
    }
  } catch {
    // The log file itself may be the problem.
  }
  err(`${line}\n`);
}

function usageError(text: string, hint?: string): BerthError {
  return new BerthError("invalid_argument", text, {
    stage: "flags",
    ...present({ hint }),
  });
}

function openLog(flags: GlobalFlags): void {
  const format = FORMATS.find((f) => f === (flags["log-format"] || "text"));
  if (format === undefined)
    throw usageError(`invalid log-format: ${flags["log-format"]}`, "expected text or json");
  const level = flags.debug ? "debug" : LEVELS[flags["log-level"] ?? "info"];
  if (level === undefined)
    throw usageError(
      `--log-level: found ${JSON.stringify(flags["log-level"])}, expected debug, info, warning or error`,
    );
  const { log } = flags;
  // An unwritable log file must fail: the caller that asked for it would take its emptiness for success.
  if (log !== undefined) commandSys.appendFile(log, "", 0o640);
  configureLog({
    level,
    render: (at, message, fields) => logLine(format, at, message, fields),
    write: log === undefined ? err : (line: string) => commandSys.appendFile(log, line, 0o640),
  });
}

/** `called.verb` is set once the command line is valid. */
async function dispatch(
  flags: GlobalFlags,
  rest: readonly string[],
  called: { verb?: string },
): Promise<number> {
  if (flags.version) {
    out(`berth-runc version ${VERSION}\ncommit: ${COMMIT}\nspec: ${SPEC_VERSION}\n`);
    return 0;
  }
  const [verb, ...args] = rest;
  if (verb === undefined || flags.help || verb === "help") {
    out(await help());
    return 0;
  }
  openLog(flags);
  refuseUnsupported(flags);
  const load = VERBS[verb];
  if (load === undefined)
    throw new BerthError(
      "invalid_argument",
      `No help topic for '${verb}': unknown command, expected one of ${Object.keys(VERBS).join(", ")}`,
      { stage: "flags" },
    );
  const command = (await load()).command as Command;
  const parsed = parseFlags(
    { ...command.flags, help: { type: "bool", short: "h", help: "print this" } },
    args,
    command.ordered ?? false,
  );
  if (parsed.flags.help) {
    out(commandHelp(verb, command));
    return 0;
  }
  checkArgs(verb, parsed.rest, ...command.args);
  const runtime = openRuntime(commandSys, flags.root ?? defaultRoot(commandSys), {
    systemd: cgroupManager(flags) === "systemd",
    cgroupless: cgroupManager(flags) === "disabled",
    // The caller's folder may have containers of runc's, too; the default is berth-runc's own.
    shared: flags.root !== undefined,
  });
  called.verb = verb;
  try {
    return await command.run(
      { runtime, out, explicitRoot: flags.root !== undefined },
      parsed.flags,
      parsed.rest,
    );
  } catch (error) {
    throw withVerb(verb, BerthError.from(error));
  }
}

/** Runs berth-runc; returns the exit code: the process's, 1 for a failure, 255 for a failed exec, as in runc. */
export async function main(args: readonly string[]): Promise<number> {
  let flags: GlobalFlags = {};
  const called: { verb?: string } = {};
  try {
    const parsed = parseFlags(globalFlags, args, true);
    flags = parsed.flags;
    return await dispatch(flags, parsed.rest, called);
  } catch (error) {
    report(BerthError.from(error), flags);
    return called.verb === "exec" ? 255 : 1;
  }
}

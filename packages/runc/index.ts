/** `berth-runc`: the runtime's command line, with runc's verbs, flags, messages and exit codes. */
import { BerthError, COMMIT, configureLog, type LogLevel, present, VERSION } from "@berth/base";
import { defaultRoot, openRuntime, ownerOf } from "@berth/runtime";
import { commandSys } from "@berth/sys";
import type { Command } from "./command.ts";
import { checkArgs, describeFlags, type Flags, type FlagTable, parseFlags } from "./flags.ts";
import { logLine } from "./log-lines.ts";

const SPEC_VERSION = "1.3.0";

/** Each verb in its own file, loaded on demand. */
const COMMANDS: Readonly<Record<string, () => Promise<{ command: unknown }>>> = {
  checkpoint: () => import("./verbs/checkpoint.ts"),
  create: () => import("./verbs/create.ts"),
  delete: () => import("./verbs/delete.ts"),
  events: () => import("./verbs/events.ts"),
  exec: () => import("./verbs/exec.ts"),
  features: () => import("./verbs/features.ts"),
  kill: () => import("./verbs/kill.ts"),
  list: () => import("./verbs/list.ts"),
  mounts: () => import("./verbs/mounts.ts"),
  pause: () => import("./verbs/pause.ts"),
  ps: () => import("./verbs/ps.ts"),
  restore: () => import("./verbs/restore.ts"),
  resume: () => import("./verbs/resume.ts"),
  run: () => import("./verbs/run.ts"),
  spec: () => import("./verbs/spec.ts"),
  start: () => import("./verbs/start.ts"),
  state: () => import("./verbs/state.ts"),
  update: () => import("./verbs/update.ts"),
};

const globalFlags = {
  debug: { type: "bool", help: "log more" },
  log: { type: "string", help: "file to write the log to (default: standard error)" },
  "log-format": { type: "string", help: "text (default) or json" },
  "log-level": { type: "string", help: "debug, info (default), warning or error" },
  root: { type: "string", help: "folder of the containers' records (default: /run/berth-runc)" },
  rootless: { type: "string", help: "true, false or auto (default): do without the rights of root" },
  "systemd-cgroup": { type: "bool", help: "use the systemd cgroup driver" },
  "cgroup-manager": { type: "string", help: "cgroupfs (default), systemd or disabled" },
  version: { type: "bool", short: "v", help: "print the version" },
  help: { type: "bool", short: "h", help: "print this" },
} as const satisfies FlagTable;

type GlobalFlags = Flags<typeof globalFlags>;

// Directly to the descriptors: process.stdout and process.stderr cost 9 ms to set up.
const out = (text: string) => commandSys.write(1, new TextEncoder().encode(text));
const err = (text: string) => commandSys.write(2, new TextEncoder().encode(text));

async function help(): Promise<string> {
  const verbs = await Promise.all(
    Object.entries(COMMANDS).map(
      async ([name, load]) => `   ${name.padEnd(10)} ${((await load()).command as Command).help}`,
    ),
  );
  return `NAME:
   berth-runc - Open Container Initiative runtime

USAGE:
   berth-runc [global options] command [command options] [arguments...]

VERSION:
   ${VERSION}

COMMANDS:
${verbs.join("\n")}

GLOBAL OPTIONS:
${describeFlags(globalFlags)}
`;
}

function commandHelp(verb: string, command: Command): string {
  const options = describeFlags(command.flags);
  return `NAME:
   berth-runc ${verb} - ${command.help}

USAGE:
   berth-runc ${command.usage}
${options === "" ? "" : `\nOPTIONS:\n${options}\n`}`;
}

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

function cgroupManager(flags: GlobalFlags): string {
  return flags["cgroup-manager"] ?? (flags["systemd-cgroup"] ? "systemd" : "cgroupfs");
}

/** Refuses global flags of other runtimes that this one does not support. */
function refuseUnsupported(flags: GlobalFlags): void {
  const manager = cgroupManager(flags);
  if (!["cgroupfs", "systemd", "disabled"].includes(manager))
    throw new BerthError("unimplemented", `the cgroup manager ${JSON.stringify(manager)} is not supported`, {
      stage: "flags",
      hint: "expected cgroupfs, systemd or disabled",
    });
  // A user's scope takes processes from the user's manager only, and a container's process enters its cgroup by
  // itself.
  if (manager === "systemd" && commandSys.uid() !== 0)
    throw new BerthError("unimplemented", "the systemd cgroup driver of a user's manager is not supported", {
      stage: "flags",
      hint: "leave --systemd-cgroup out to use cgroupfs, or run as root",
    });
  const { rootless } = flags;
  if (rootless === undefined || rootless === "false" || rootless === "auto") return;
  // With root's privileges they are used: "true" could only be honoured by dropping them.
  if (rootless === "true" && ownerOf(commandSys).confined) return;
  throw new BerthError(
    "unimplemented",
    `--rootless: found ${JSON.stringify(rootless)}, expected ${rootless === "true" ? "false or auto, as the caller is root" : "true, false or auto"}`,
    { stage: "flags", hint: "run it as the ordinary user whose container it is" },
  );
}

/** Stages of a failure before the container's process exists. */
const EARLY = new Set(["flags", "config", "state", "kill", "delete", "spec", "pause", "resume"]);
/** Stages of a refusal whose message stands alone. */
const PRECONDITIONS = new Set(["exec-state", "console", "cgroup-state"]);
const HEADS: Readonly<Record<string, string>> = {
  create: "runc create failed: ",
  run: "runc run failed: ",
  exec: "exec failed: ",
};

/** A verb's error message: runc says which verb failed, and whether the process was at fault. */
function withVerb(verb: string, error: BerthError): BerthError {
  const early = error.stage === undefined || EARLY.has(error.stage);
  const head = HEADS[verb] ?? (verb === "start" && !early ? "runc start failed: " : "");
  if (head === "") return error;
  const { hint, stage, syscall, errno, path } = error;
  const facts = Object.fromEntries(
    Object.entries({ hint, stage, syscall, errno, path }).filter(([, v]) => v !== undefined),
  );
  const middle = early || PRECONDITIONS.has(error.stage ?? "") ? "" : "unable to start container process: ";
  return new BerthError(error.code, `${head}${middle}${error.message}`, { ...facts, cause: error });
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
  const load = COMMANDS[verb];
  if (load === undefined)
    throw new BerthError(
      "invalid_argument",
      `No help topic for '${verb}': unknown command, expected one of ${Object.keys(COMMANDS).join(", ")}`,
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

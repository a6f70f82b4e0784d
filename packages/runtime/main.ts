/** `berth-runc`: the runtime's command line, with runc's verbs, flags, messages and exit codes. */
import { BerthError, configureLog } from "@berth/base";
import { commandSys } from "@berth/sys";
import type { Command } from "./commands/command.ts";
import { checkArgs, describeFlags, type Flags, type FlagTable, parseFlags } from "./commands/flags.ts";
import { openRuntime } from "./container/context.ts";

const VERSION = "0.1.0";
const SPEC_VERSION = "1.3.0";

/** Each verb in its own file, loaded when it is called. */
const COMMANDS: Readonly<Record<string, () => Promise<{ command: unknown }>>> = {
  checkpoint: () => import("./commands/checkpoint.ts"),
  create: () => import("./commands/create.ts"),
  delete: () => import("./commands/delete.ts"),
  events: () => import("./commands/events.ts"),
  exec: () => import("./commands/exec.ts"),
  features: () => import("./commands/features.ts"),
  kill: () => import("./commands/kill.ts"),
  list: () => import("./commands/list.ts"),
  pause: () => import("./commands/pause.ts"),
  ps: () => import("./commands/ps.ts"),
  restore: () => import("./commands/restore.ts"),
  resume: () => import("./commands/resume.ts"),
  run: () => import("./commands/run.ts"),
  spec: () => import("./commands/spec.ts"),
  start: () => import("./commands/start.ts"),
  state: () => import("./commands/state.ts"),
  update: () => import("./commands/update.ts"),
};

const globalFlags = {
  debug: { type: "bool", help: "log more" },
  log: { type: "string", help: "file to write the log to (default: standard error)" },
  "log-format": { type: "string", help: "text (default) or json" },
  root: { type: "string", help: "folder of the containers' records (default: /run/berth-runc)" },
  rootless: { type: "string", help: "false or auto (default); true is not supported" },
  "systemd-cgroup": { type: "bool", help: "use the systemd cgroup driver" },
  version: { type: "bool", short: "v", help: "print the version" },
  help: { type: "bool", short: "h", help: "print this" },
} as const satisfies FlagTable;

type GlobalFlags = Flags<typeof globalFlags>;

// Straight to the descriptors: process.stdout and process.stderr cost 9 ms to set up.
const out = (text: string) => commandSys.write(1, new TextEncoder().encode(text));
const err = (text: string) => commandSys.write(2, new TextEncoder().encode(text));

async function help(): Promise<string> {
  const verbs = await Promise.all(
    Object.entries(COMMANDS).map(
      async ([name, load]) => `   ${name.padEnd(10)} ${((await load()).command as Command).help}`,
    ),
  );
  return `berth-runc - an OCI runtime\n\nUSAGE:\n   berth-runc [global options] command [command options] [arguments...]\n\nCOMMANDS:\n${verbs.join("\n")}\n\nGLOBAL OPTIONS:\n${describeFlags(globalFlags)}\n`;
}

/** Tells an error to the log file (engines read the last line of a JSON log) and to standard error. */
function report(error: BerthError, flags: GlobalFlags): void {
  const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  const line =
    flags["log-format"] === "json"
      ? JSON.stringify({
          level: "error",
          msg: error.message,
          time,
          ...(error.hint === undefined ? {} : { hint: error.hint }),
        })
      : `time="${time}" level=error msg=${JSON.stringify(error.message)}`;
  if (flags.log !== undefined)
    process.getBuiltinModule("node:fs").appendFileSync(flags.log, `${line}\n`, { mode: 0o640 });
  const next = error.hint === undefined ? "" : `next: ${error.hint}\n`;
  if (flags.log !== undefined) err(`${error.message}\n${next}`);
  else err(flags["log-format"] === "json" ? `${line}\n` : `${line}\n${next}`);
}

function openLog(flags: GlobalFlags): void {
  const format = flags["log-format"] ?? "text";
  if (format !== "text" && format !== "json") {
    throw new BerthError(
      "invalid_argument",
      `--log-format: found ${JSON.stringify(format)}, expected text or json`,
    );
  }
  const level = flags.debug ? "debug" : "warn";
  const { log } = flags;
  if (log === undefined) {
    configureLog({ level, format });
    return;
  }
  const fs = process.getBuiltinModule("node:fs");
  configureLog({ level, format, write: (line) => fs.appendFileSync(log, line, { mode: 0o640 }) });
}

/** The message that goes with a verb's failure: runc says which verb failed when the container's process did. */
function withVerb(verb: string, error: BerthError): BerthError {
  const process =
    error.stage !== undefined &&
    !["flags", "config", "state", "kill", "delete", "spec", "pause", "resume"].includes(error.stage);
  if (!process || !["create", "run", "exec", "start"].includes(verb)) return error;
  const head =
    verb === "exec" ? "exec failed" : verb === "start" ? "runc start failed" : `runc ${verb} failed`;
  const { hint, stage, syscall, errno, path } = error;
  const facts = Object.fromEntries(
    Object.entries({ hint, stage, syscall, errno, path }).filter(([, v]) => v !== undefined),
  );
  return new BerthError(error.code, `${head}: unable to start container process: ${error.message}`, {
    ...facts,
    cause: error,
  });
}

async function dispatch(flags: GlobalFlags, rest: readonly string[]): Promise<number> {
  if (flags.version) {
    out(`berth-runc version ${VERSION}\nspec: ${SPEC_VERSION}\n`);
    return 0;
  }
  const [verb, ...args] = rest;
  if (verb === undefined || flags.help || verb === "help") {
    out(await help());
    return 0;
  }
  openLog(flags);
  if (flags["systemd-cgroup"])
    throw new BerthError("unimplemented", "--systemd-cgroup: the systemd cgroup driver is not supported", {
      stage: "flags",
      hint: "leave the flag out to use cgroupfs",
    });
  if (flags.rootless !== undefined && !["false", "auto"].includes(flags.rootless))
    throw new BerthError(
      "unimplemented",
      `--rootless: found ${JSON.stringify(flags.rootless)}, expected false or auto: containers without root are not supported`,
      { stage: "flags" },
    );
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
    out(`berth-runc ${command.usage}\n\n${command.help}\n\n${describeFlags(command.flags)}\n`);
    return 0;
  }
  checkArgs(verb, parsed.rest, ...command.args);
  const runtime = openRuntime(commandSys, flags.root ?? "/run/berth-runc");
  try {
    return await command.run({ runtime, out }, parsed.flags, parsed.rest);
  } catch (error) {
    throw withVerb(verb, BerthError.from(error));
  }
}

/** Runs berth-runc; returns the exit code: the process's, 1 for a failure, 255 for a failed exec as runc has it. */
export async function main(args: readonly string[]): Promise<number> {
  let flags: GlobalFlags = {};
  let verb: string | undefined;
  try {
    const parsed = parseFlags(globalFlags, args, true);
    flags = parsed.flags;
    verb = parsed.rest[0];
    return await dispatch(flags, parsed.rest);
  } catch (error) {
    report(BerthError.from(error), flags);
    return verb === "exec" ? 255 : 1;
  }
}

/**
 * The door of `packages/cli`: the `berth` command. `main` parses, runs one command and returns the exit code; it
 * never exits the process itself.
 */
import type { CliDeps, Command, Context } from "./command.ts";
import { COMMANDS } from "./command-table.ts";
import { exitCodeOf, printError } from "./errors.ts";
import { bool, describeFlags, type FlagTable, parseFlags, text, UsageError, usageError } from "./flags.ts";
import { suggestion } from "./suggestion.ts";

export type { CliDeps } from "./command.ts";

const GLOBAL = {
  address: text(
    "ADDRESS",
    "Socket of the daemon (default unix:///run/berth/berth.sock, or $BERTH_ADDRESS)",
    "H",
  ),
  namespace: text("NAME", 'Namespace (default "default", or $BERTH_NAMESPACE)', "n"),
  debug: bool("Show causes, system calls and stacks of errors", "D"),
  version: bool("Show the version", "v"),
  help: bool("Show this help", "h"),
} as const satisfies FlagTable;

/** Runs `berth` with the arguments after the program's name. */
export async function main(argv: readonly string[], deps: CliDeps = {}): Promise<number> {
  const env = deps.env ?? process.env;
  const out = deps.out ?? printer();
  const err = deps.err ?? ((line: string) => void process.stderr.write(line));
  let debug = argv.includes("--debug");
  let close = () => {};
  try {
    const { flags, args } = parseFlags(GLOBAL, argv, true);
    debug = flags.debug || env.BERTH_DEBUG === "1";
    const [name, ...rest] = flags.version ? ["version", ...args] : args;
    if (name === undefined || name === "help" || (flags.help && name === undefined))
      return help(rest, out, err);
    const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (!entry)
      throw usageError(`"${name}" is not a berth command${suggestion(name, Object.keys(COMMANDS))}`);
    const command = await entry.load();
    if (flags.help || asksForHelp(command, rest)) {
      out(describeCommand(name, command));
      return 0;
    }
    const context = makeContext(deps, env, out, err, {
      address: flags.address ?? env.BERTH_ADDRESS,
      namespace: flags.namespace ?? env.BERTH_NAMESPACE,
      debug,
    });
    close = context.close;
    return await runCommand(name, command, rest, context);
  } catch (error) {
    printError(error, debug, err);
    if (error instanceof UsageError)
      err('Run "berth --help", or "berth COMMAND --help", for what there is.\n');
    return exitCodeOf(error);
  } finally {
    close();
  }
}

async function runCommand(name: string, command: Command, argv: string[], context: Context): Promise<number> {
  const { flags, args } = parseFlags(command.flags, argv, command.stopAtArgument);
  const [least, most] = command.args;
  if (args.length < least || args.length > most)
    throw usageError(`"berth ${name}" takes ${count(least, most)}: berth ${name} ${command.usage}`);
  return command.run(context, flags, args);
}

function count(least: number, most: number): string {
  if (most === 0) return "no arguments";
  if (least === most) return `exactly ${least} argument${least === 1 ? "" : "s"}`;
  if (most === Number.POSITIVE_INFINITY) return `at least ${least} argument${least === 1 ? "" : "s"}`;
  return `${least} to ${most} arguments`;
}

// "--help" before the container's own command.
function asksForHelp(command: Command, argv: readonly string[]): boolean {
  const end = argv.findIndex((word) => word === "--" || (command.stopAtArgument && !word.startsWith("-")));
  return (end < 0 ? argv : argv.slice(0, end)).includes("--help");
}

function makeContext(
  deps: CliDeps,
  env: Context["env"],
  out: Context["out"],
  err: Context["err"],
  given: { address: string | undefined; namespace: string | undefined; debug: boolean },
): Context & { close: () => void } {
  const address = given.address ?? "unix:///run/berth/berth.sock";
  const namespace = given.namespace ?? "default";
  let made: Promise<import("@berth/client").BerthClient> | undefined;
  return {
    client: () => {
      made ??= import("@berth/client").then(({ connect }) =>
        connect({ address, namespace, ...(env.BERTH_ROOT ? { root: env.BERTH_ROOT } : {}) }),
      );
      return made;
    },
    close: () => {
      // Not awaited: closing is best effort, and a client that failed to load needs none.
      made?.then((client) => client.close()).catch(() => {});
    },
    address,
    namespace,
    debug: given.debug,
    env,
    out,
    err,
    deps,
  };
}

/** Exit code for SIGPIPE, by the shell's convention. */
const SIGPIPE_EXIT = 141;

// A closed pipe (`berth logs x | head`) ends this program like any other: at once and silently.
function printer(): Context["out"] {
  let watched = false;
  return (text) => {
    const { stdout } = process;
    if (!watched)
      stdout.on("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "EPIPE") process.exit(SIGPIPE_EXIT);
        throw error;
      });
    watched = true;
    stdout.write(text);
  };
}

async function help(args: readonly string[], out: Context["out"], err: Context["err"]): Promise<number> {
  const [name] = args;
  if (name !== undefined && Object.hasOwn(COMMANDS, name)) {
    out(describeCommand(name, await COMMANDS[name]!.load()));
    return 0;
  }
  if (name !== undefined) {
    err(`berth: "${name}" is not a berth command${suggestion(name, Object.keys(COMMANDS))}\n`);
    return 125;
  }
  const width = Math.max(...Object.keys(COMMANDS).map((key) => key.length));
  const lines = Object.entries(COMMANDS).map(([key, { summary }]) => `  ${key.padEnd(width)}   ${summary}`);
  out(
    [
      "Usage: berth [OPTIONS] COMMAND",
      "",
      "Containers, from the image to the system call.",
      "",
      "Commands:",
      ...lines,
      "",
      "Options:",
      ...describeFlags(GLOBAL),
      "",
      'Run "berth COMMAND --help" for the flags of a command.',
      "",
    ].join("\n"),
  );
  return 0;
}

function describeCommand(name: string, command: Command): string {
  const flags = describeFlags(command.flags);
  const options = flags.length > 0 ? ["", "Options:", ...flags] : [];
  const usage = [`berth ${name}`, flags.length > 0 ? "[OPTIONS]" : "", command.usage]
    .filter(Boolean)
    .join(" ");
  return [`Usage: ${usage}`, "", command.summary, ...options, ""].join("\n");
}

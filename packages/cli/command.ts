/** What a command is: a table of flags and one function. */
import type { BerthClient } from "@berth/client";
import type { FlagTable, FlagValues } from "./flags.ts";

/** What the executable gives to the commands. */
export interface CliDeps {
  /** Says in words what the runtime would do with a bundle's directory; from packages/runtime. */
  explain?: (bundle: string) => Promise<string>;
  /** Says in what two bundles' directories differ for the runtime; from packages/runtime. */
  explainDifference?: (first: string, second: string) => Promise<string>;
  /** Examines what a daemon that does not run left: `berthd doctor` with these arguments. */
  doctor?: (args: readonly string[]) => Promise<{ out: string; err: string; code: number }>;
  /** Environment; default: the process's. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Writes to standard output and error; default: the process's. */
  out?: (text: string) => void;
  err?: (text: string) => void;
}

/** What every command sees. */
export interface Context {
  /** The client, made (and its code loaded) at the first call. */
  client(): Promise<BerthClient>;
  readonly namespace: string;
  readonly address: string;
  readonly debug: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
  readonly deps: CliDeps;
}

/** A command of `berth`. */
export interface Command<T extends FlagTable = FlagTable> {
  /** Arguments in docker's notation: "IMAGE [COMMAND] [ARG...]". */
  usage: string;
  summary: string;
  flags: T;
  /** Flags after the first argument belong to the container's command. */
  stopAtArgument?: boolean;
  /** How many arguments there may be. */
  args: readonly [min: number, max: number];
  /** Does it; gives the exit code. */
  run(context: Context, flags: FlagValues<T>, args: string[]): Promise<number>;
}

/** Gives a command its types. */
export function command<const T extends FlagTable>(given: Command<T>): Command<T> {
  return given;
}

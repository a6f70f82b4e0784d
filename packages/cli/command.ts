/** A command: a flag table and a function. */
import type { BerthClient } from "@berth/client";
import type { FlagTable, FlagValues } from "./flags.ts";

/** Functions the executable provides to the commands. */
export interface CliDeps {
  /** Describes what the runtime would do with a bundle's directory; from packages/runtime. */
  explain?: (bundle: string) => Promise<string>;
  /** Describes how two bundles' directories differ for the runtime; from packages/runtime. */
  explainDifference?: (first: string, second: string) => Promise<string>;
  /** Runs `berthd` with these arguments, for what works without a daemon that serves. */
  berthd?: (args: readonly string[]) => Promise<{ out: string; err: string; code: number }>;
  /** Environment; default: the process's. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Writes to standard output and error; default: the process's. */
  out?: (text: string) => void;
  err?: (text: string) => void;
}

/** Context of every command. */
export interface Context {
  /** The client, created (and its code loaded) on first use. */
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
  /** Minimum and maximum number of arguments. */
  args: readonly [min: number, max: number];
  /** Runs the command; returns the exit code. */
  run(context: Context, flags: FlagValues<T>, args: string[]): Promise<number>;
}

/** Infers a command's types. */
export function command<const T extends FlagTable>(given: Command<T>): Command<T> {
  return given;
}

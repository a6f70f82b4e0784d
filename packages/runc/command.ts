/** What a verb of berth-runc is: a table of flags and one call. */
import type { Runtime } from "@berth/runtime";
import type { Flags, FlagTable } from "./flags.ts";

/** What a verb runs in. */
export interface CommandContext {
  runtime: Runtime;
  out(text: string): void;
  /** --root was given: it must be there. */
  explicitRoot: boolean;
}

/** A verb. `run` returns the exit code. */
export interface Command<T extends FlagTable = FlagTable> {
  /** "create [options] ID" */
  usage: string;
  help: string;
  flags: T;
  /** The first argument that is no flag ends the flags. */
  ordered?: boolean;
  /** Least and most number of arguments. */
  args: readonly [number, number];
  run(context: CommandContext, flags: Flags<T>, args: string[]): Promise<number>;
}

/** Gives a verb's flags their types. */
export function defineCommand<T extends FlagTable>(command: Command<T>): Command<T> {
  return command;
}

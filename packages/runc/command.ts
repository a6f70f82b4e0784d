/** A verb of berth-runc: a flag table and a function. */
import type { Runtime } from "@berth/runtime";
import type { Flags, FlagTable } from "./flags.ts";

/** Context of a verb. */
export interface CommandContext {
  runtime: Runtime;
  out(text: string): void;
  /** --root was given: the folder must exist. */
  explicitRoot: boolean;
}

/** A verb. `run` returns the exit code. */
export interface Command<T extends FlagTable = FlagTable> {
  /** "create [options] ID" */
  usage: string;
  help: string;
  flags: T;
  /** Flags end at the first positional argument. */
  ordered?: boolean;
  /** Minimum and maximum number of arguments. */
  args: readonly [number, number];
  run(context: CommandContext, flags: Flags<T>, args: string[]): Promise<number>;
}

/** Infers the types of a verb's flags. */
export function defineCommand<T extends FlagTable>(command: Command<T>): Command<T> {
  return command;
}

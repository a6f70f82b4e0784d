/** Command-line flags with runc's syntax: `--name value`, `--name=value`, `-n value`; `--` ends them. */
import { BerthError } from "@berth/base";

/** One flag of a command. */
export interface FlagSpec {
  /** "bool" takes no value; "list" may be repeated. */
  readonly type: "bool" | "string" | "number" | "list";
  /** One-letter alias. */
  readonly short?: string;
  readonly help: string;
  /** Omitted from help texts. */
  readonly hidden?: boolean;
}

export type FlagTable = Readonly<Record<string, FlagSpec>>;

/** Parsed flags: absent ones are undefined. */
export type Flags<T extends FlagTable> = {
  [K in keyof T]?: T[K]["type"] extends "bool"
    ? boolean
    : T[K]["type"] extends "number"
      ? number
      : T[K]["type"] extends "list"
        ? string[]
        : string;
};

function usageError(text: string): BerthError {
  return new BerthError("invalid_argument", text, { stage: "flags" });
}

function parseBool(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw usageError(`--${name}: found ${JSON.stringify(value)}, expected true or false`);
}

/**
 * Splits arguments into flags and the rest. With `ordered`, the first positional argument ends them (global flags,
 * and exec, where another program's command line follows).
 */
export function parseFlags<T extends FlagTable>(
  table: T,
  args: readonly string[],
  ordered: boolean,
): { flags: Flags<T>; rest: string[] } {
  const flags: Record<string, unknown> = {};
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--") {
      rest.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      if (ordered) {
        rest.push(...args.slice(i));
        break;
      }
      rest.push(arg);
      continue;
    }
    const at = arg.indexOf("=");
    const word = (at < 0 ? arg : arg.slice(0, at)).replace(/^--?/, "");
    const name = word in table ? word : Object.keys(table).find((k) => table[k]!.short === word);
    if (name === undefined)
      throw usageError(`flag provided but not defined: ${arg.startsWith("--") ? "--" : "-"}${word}`);
    const { type } = table[name]!;
    const inline = at < 0 ? undefined : arg.slice(at + 1);
    if (type === "bool") {
      flags[name] = parseBool(name, inline);
      continue;
    }
    const value = inline ?? args[++i];
    if (value === undefined) throw usageError(`flag needs an argument: --${name}`);
    if (type === "list") flags[name] = [...((flags[name] as string[]) ?? []), value];
    else if (type === "string") flags[name] = value;
    else if (/^-?\d+$/.test(value)) flags[name] = Number(value);
    else throw usageError(`--${name}: found ${JSON.stringify(value)}, expected a whole number`);
  }
  return { flags: flags as Flags<T>, rest };
}

/** Refuses a wrong number of arguments, with runc's message. */
export function checkArgs(command: string, rest: readonly string[], min: number, max: number): void {
  const kind = min === max ? "exactly" : rest.length < min ? "a minimum of" : "a maximum of";
  const limit = rest.length < min ? min : max;
  if (rest.length < min || rest.length > max) {
    throw usageError(`"${command}" requires ${kind} ${limit} argument${limit === 1 ? "" : "(s)"}`);
  }
}

/** The flags section of a help text. */
export function describeFlags(table: FlagTable): string {
  return Object.entries(table)
    .filter(([, flag]) => !flag.hidden)
    .map(([name, { short, type, help }]) => {
      const head = `--${name}${short === undefined ? "" : `, -${short}`}${type === "bool" ? "" : " value"}`;
      return `   ${head.padEnd(34)} ${help}`;
    })
    .join("\n");
}

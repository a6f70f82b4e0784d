/** Command-line flags: each command has a table, one parser reads them all, with docker's syntax. */
import { BerthError } from "@berth/base";
import { suggestion } from "./suggestion.ts";

/** One flag; its long name is the key in its table, in kebab case. */
export interface Flag {
  kind: "bool" | "text" | "list";
  /** One letter. */
  short?: string;
  /** Name of the value in help texts. */
  value?: string;
  help: string;
}

/** Flags of a command, by camel case name. */
export type FlagTable = Readonly<Record<string, Flag>>;

/** Parsed flags: false, undefined or [] for absent ones. */
export type FlagValues<T extends FlagTable> = {
  [K in keyof T]: T[K]["kind"] extends "bool"
    ? boolean
    : T[K]["kind"] extends "list"
      ? string[]
      : string | undefined;
};

/** A boolean flag; "--x=false" negates it. */
export function bool(help: string, short?: string): Flag & { kind: "bool" } {
  return { kind: "bool", help, ...(short ? { short } : {}) };
}

/** A flag with a value; the last occurrence wins. */
export function text(value: string, help: string, short?: string): Flag & { kind: "text" } {
  return { kind: "text", value, help, ...(short ? { short } : {}) };
}

/** A flag with a value that may be repeated. */
export function list(value: string, help: string, short?: string): Flag & { kind: "list" } {
  return { kind: "list", value, help, ...(short ? { short } : {}) };
}

/** "noTrunc" -> "no-trunc". */
export function longName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/**
 * Parses the flags in `argv`. With `stopAtArgument`, parsing ends at the first argument (the rest belongs to the
 * command in the container). Throws "invalid_argument" for unknown flags and missing values.
 */
export function parseFlags<T extends FlagTable>(
  table: T,
  argv: readonly string[],
  stopAtArgument = false,
): { flags: FlagValues<T>; args: string[] } {
  const values: Record<string, boolean | string | undefined | string[]> = {};
  const byLong = new Map<string, string>();
  const byShort = new Map<string, string>();
  for (const [key, flag] of Object.entries(table)) {
    values[key] = flag.kind === "bool" ? false : flag.kind === "list" ? [] : undefined;
    byLong.set(longName(key), key);
    if (flag.short) byShort.set(flag.short, key);
  }
  const args: string[] = [];
  const put = (key: string, value: string) => {
    if (table[key]!.kind === "list") (values[key] as string[]).push(value);
    else values[key] = value;
  };
  let i = 0;
  const next = (written: string): string => {
    const value = argv[++i];
    if (value === undefined) throw usageError(`flag needs a value: ${written}`);
    return value;
  };
  for (; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "--") {
      args.push(...argv.slice(i + 1));
      break;
    }
    if (word === "-" || !word.startsWith("-")) {
      if (stopAtArgument) {
        args.push(...argv.slice(i));
        break;
      }
      args.push(word);
    } else if (word.startsWith("--")) {
      const equals = word.indexOf("=");
      const key = byLong.get(equals < 0 ? word.slice(2) : word.slice(2, equals));
      if (key === undefined) {
        const written = equals < 0 ? word : word.slice(0, equals);
        const known = [...byLong.keys(), "help"].map((long) => `--${long}`);
        throw usageError(`unknown flag: ${written}${suggestion(written, known)}`);
      }
      if (table[key]!.kind !== "bool") put(key, equals < 0 ? next(word) : word.slice(equals + 1));
      else values[key] = equals < 0 ? true : parseBool(word, word.slice(equals + 1));
    } else {
      for (let at = 1; at < word.length; at++) {
        const key = byShort.get(word[at]!);
        if (key === undefined) throw usageError(`unknown shorthand flag: '${word[at]}' in ${word}`);
        if (table[key]!.kind === "bool") {
          if (word[at + 1] !== "=") {
            values[key] = true;
            continue;
          }
          values[key] = parseBool(word, word.slice(at + 2));
        } else if (at + 1 === word.length) put(key, next(`-${word[at]}`));
        else put(key, word.slice(at + (word[at + 1] === "=" ? 2 : 1)));
        break;
      }
    }
  }
  return { flags: values as FlagValues<T>, args };
}

function parseBool(written: string, value: string): boolean {
  if (["true", "1", "t"].includes(value)) return true;
  if (["false", "0", "f"].includes(value)) return false;
  throw usageError(`found "${written}", expected true or false`);
}

/** A mistake in the command line; exit code 125. */
export class UsageError extends BerthError {
  constructor(message: string) {
    super("invalid_argument", message);
  }
}

/** Makes a {@link UsageError}. */
export function usageError(message: string): UsageError {
  return new UsageError(message);
}

/** A whole number, at least `min`. */
export function wholeNumber(flag: string, value: string, min = 0): number {
  const number = Number(value);
  if (!/^-?\d+$/.test(value) || number < min)
    throw usageError(`${flag}: found "${value}", expected a whole number from ${min} on`);
  return number;
}

/** The flags' help text, one line each. */
export function describeFlags(table: FlagTable): string[] {
  const rows = Object.entries(table).map(([key, flag]) => {
    const short = flag.short ? `-${flag.short}, ` : "    ";
    return [`  ${short}--${longName(key)}${flag.value ? ` ${flag.value}` : ""}`, flag.help] as const;
  });
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${left.padEnd(width)}   ${right}`);
}

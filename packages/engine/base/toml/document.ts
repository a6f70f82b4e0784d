/** A TOML document whose values know where they stand. */
import { BerthError } from "@berth/base";
import { parse, TomlError } from "smol-toml";
import { positionOf } from "./position.ts";

/** A value that is no table, and its key. */
export interface Entry {
  key: readonly string[];
  value: unknown;
}

/** A parsed file. */
export class Document {
  readonly file: string;
  readonly root: Readonly<Record<string, unknown>>;
  readonly #text: string;

  /** "invalid_argument" with line and column if the text is not TOML. */
  constructor(text: string, file: string) {
    this.#text = text;
    this.file = file;
    try {
      this.root = parse(text);
    } catch (cause) {
      if (!(cause instanceof TomlError)) throw cause;
      const why = cause.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
      const where = `${file}:${cause.line}:${cause.column}`;
      throw new BerthError("invalid_argument", `${where}: ${why}`, { stage: "config", path: file, cause });
    }
  }

  /** "FILE:LINE:COLUMN" of a key. */
  where(key: readonly string[]): string {
    const at = positionOf(this.#text, key);
    return at === undefined ? this.file : `${this.file}:${at.line}:${at.column}`;
  }

  /** The error for a key. */
  refusal(key: readonly string[], why: string): BerthError {
    return new BerthError("invalid_argument", `${this.where(key)}: ${why}`, {
      stage: "config",
      path: this.file,
    });
  }

  /** All values, those of tables one by one; tables for which `whole` holds are values, too. */
  *entries(whole: (key: readonly string[]) => boolean = () => false): Generator<Entry> {
    yield* entriesOf(this.root, [], whole);
  }
}

function* entriesOf(
  table: Readonly<Record<string, unknown>>,
  path: readonly string[],
  whole: (key: readonly string[]) => boolean,
): Generator<Entry> {
  for (const [name, value] of Object.entries(table)) {
    const key = [...path, name];
    if (isTable(value) && !whole(key)) yield* entriesOf(value, key, whole);
    else yield { key, value };
  }
}

/** Whether a value is a TOML table. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

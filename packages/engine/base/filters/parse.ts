/**
 * containerd's filter language.
 *
 * A filter is a list of selectors, separated by commas, that must all match; of several filters one must match.
 *
 *     labels."com.example/a"==b,name~=^docker.io/
 *
 * A selector is a field path (identifiers and quoted text, joined by dots) alone ("is there"), or with `==`, `!=`
 * or `~=` (regular expression) and a value that may be quoted; after `~=` also with `/` or `|` as quotes.
 */
import { BerthError } from "@berth/base";
import { readQuoted } from "./quoted.ts";

/** One condition of a filter. */
export interface Selector {
  readonly path: readonly string[];
  readonly operator: "present" | "==" | "!=" | "~=";
  readonly value: string;
}

const SPACE = /\s*/y;
const IDENT = /[A-Za-z0-9_]+/y;
/** A bare value: everything up to a comma or whitespace. */
const BARE = /[^\s,."/|=!~][^\s,]*/y;
const OPERATOR = /==|!=|~=/y;

class Parser {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  fail(expected: string): BerthError {
    const found = this.at >= this.text.length ? "the end" : JSON.stringify(this.text[this.at]);
    return new BerthError(
      "invalid_argument",
      `filter ${JSON.stringify(this.text)}: found ${found} at position ${this.at + 1}, expected ${expected}: invalid argument`,
    );
  }

  get next(): string | undefined {
    return this.text[this.at];
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return undefined;
    this.at = pattern.lastIndex;
    return match[0];
  }

  /** Text in one of the `marks`. */
  quoted(marks: string): string | undefined {
    if (this.next === undefined || !marks.includes(this.next)) return undefined;
    const read = readQuoted(this.text, this.at);
    if (read === undefined) throw this.fail("a valid quoted text");
    this.at = read.end;
    return read.text;
  }

  field(): string {
    this.take(SPACE);
    const field = this.quoted('"') ?? this.take(IDENT);
    if (field === undefined) throw this.fail("a field");
    return field;
  }

  selector(): Selector {
    const path = [this.field()];
    while (this.next === ".") {
      this.at++;
      path.push(this.field());
    }
    if (this.next === undefined || this.next === ",") return { path, operator: "present", value: "" };
    this.take(SPACE);
    const operator = this.take(OPERATOR) as "==" | "!=" | "~=" | undefined;
    if (operator === undefined) throw this.fail("a comma, the end, or one of ==, != and ~=");
    this.take(SPACE);
    const value = this.quoted(operator === "~=" ? '"/|' : '"') ?? this.take(BARE);
    if (value === undefined) throw this.fail("a value");
    return { path, operator, value };
  }
}

/** Parses one filter; "invalid_argument" gives the position of an error. The empty filter has no selectors. */
export function parseFilter(text: string): Selector[] {
  const parser = new Parser(text);
  const out: Selector[] = [];
  if (text === "") return out;
  for (;;) {
    out.push(parser.selector());
    if (parser.at >= text.length) return out;
    if (parser.next !== ",") throw parser.fail("a comma or the end");
    parser.at++;
  }
}

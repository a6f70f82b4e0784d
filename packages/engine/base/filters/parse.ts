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

/** One condition of a filter. */
export interface Selector {
  readonly path: readonly string[];
  readonly operator: "present" | "==" | "!=" | "~=";
  readonly value: string;
  readonly regex: RegExp | undefined;
}

const IDENT = /[A-Za-z0-9_]+/y;
/** A bare value: everything up to a comma or whitespace. */
const BARE = /[^\s,"'/|=!~]+[^\s,]*/y;
const OPERATOR = /==|!=|~=/y;
const DOUBLE_QUOTED = /"(?:[^"\\]|\\.)*"/y;

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

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return undefined;
    this.at = pattern.lastIndex;
    return match[0];
  }

  quoted(): string | undefined {
    const start = this.at;
    const raw = this.take(DOUBLE_QUOTED);
    if (raw === undefined) return undefined;
    try {
      // Go's escapes that JSON lacks: \xHH, \a, \v, \'.
      return JSON.parse(
        raw
          .replace(/\\x([0-9a-fA-F]{2})/g, "\\u00$1")
          .replace(/\\a/g, "\\u0007")
          .replace(/\\v/g, "\\u000b")
          .replace(/\t/g, "\\t"),
      );
    } catch {
      this.at = start;
      throw this.fail("a valid quoted text");
    }
  }

  /** Text between `/` or `|`, where only the delimiter itself can be escaped. */
  delimited(): string | undefined {
    const mark = this.text[this.at];
    if (mark !== "/" && mark !== "|") return undefined;
    let out = "";
    for (let i = this.at + 1; i < this.text.length; i++) {
      const c = this.text[i]!;
      if (c === mark) {
        this.at = i + 1;
        return out;
      }
      if (c === "\\" && this.text[i + 1] === mark) {
        out += mark;
        i++;
      } else out += c;
    }
    throw this.fail(`a closing ${mark}`);
  }

  selector(): Selector {
    const path: string[] = [];
    do {
      const part = this.quoted() ?? this.take(IDENT);
      if (part === undefined) throw this.fail("a field");
      path.push(part);
    } while (this.take(/\./y) !== undefined);
    const operator = this.take(OPERATOR) as "==" | "!=" | "~=" | undefined;
    if (operator === undefined) return { path, operator: "present", value: "", regex: undefined };
    const delimited = operator === "~=" ? this.delimited() : undefined;
    const value = delimited ?? this.quoted() ?? this.take(BARE);
    if (value === undefined) throw this.fail("a value");
    let regex: RegExp | undefined;
    if (operator === "~=")
      try {
        regex = new RegExp(value, "u");
      } catch (cause) {
        throw new BerthError(
          "invalid_argument",
          `filter ${JSON.stringify(this.text)}: ${JSON.stringify(value)} is not a regular expression: invalid argument`,
          { cause },
        );
      }
    return { path, operator, value, regex };
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
    // Go clients write "type==x, id==y".
    if (parser.take(/\s*,\s*/y) === undefined) throw parser.fail("a comma or the end");
  }
}

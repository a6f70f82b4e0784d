/**
 * Parses GVariant's text format, which annotations "org.systemd.property.NAME" use: true, 5, uint64 5, 1.5, 'text',
 * ['a', 'b'], @as []. Pure.
 */
import { BerthError } from "@berth/base";
import type { DBusValue, Variant } from "./types.ts";

const TYPES: Readonly<Record<string, string>> = {
  boolean: "b",
  byte: "y",
  int16: "n",
  uint16: "q",
  int32: "i",
  uint32: "u",
  int64: "x",
  uint64: "t",
  double: "d",
  string: "s",
  objectpath: "o",
  signature: "g",
};
const INTEGERS: Readonly<Record<string, readonly [bigint, bigint]>> = {
  y: [0n, 255n],
  n: [-(2n ** 15n), 2n ** 15n - 1n],
  q: [0n, 2n ** 16n - 1n],
  i: [-(2n ** 31n), 2n ** 31n - 1n],
  u: [0n, 2n ** 32n - 1n],
  x: [-(2n ** 63n), 2n ** 63n - 1n],
  t: [0n, 2n ** 64n - 1n],
};
const TOKEN = /\s*(\[|\]|,|@a[a-z]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+]?[\w.]+(?:[eE][-+]?\d+)?)/y;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t" };

/** Parses a single value; "invalid_argument" if it is malformed. */
export function parseGVariant(text: string): Variant {
  const refuse = (): never => {
    throw new BerthError(
      "invalid_argument",
      `found ${JSON.stringify(text)}, expected a GVariant such as 'text', 5, uint64 5, true or ['a', 'b']`,
    );
  };
  const tokens: string[] = [];
  for (let at = 0; at < text.trimEnd().length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) return refuse();
    tokens.push(match[1]!);
  }
  let at = 0;
  const integer = (token: string, type: string): DBusValue => {
    const [min, max] = INTEGERS[type]!;
    if (!/^[-+]?(\d+|0[xX][\da-fA-F]+)$/.test(token)) return refuse();
    const negative = token.startsWith("-");
    const value = BigInt(token.replace(/^[-+]/, "")) * (negative ? -1n : 1n);
    if (value < min || value > max) return refuse();
    return type === "x" || type === "t" ? value : Number(value);
  };
  const single = (expected?: string): Variant => {
    const token = tokens[at++] ?? refuse();
    if (token === "[") return array(expected);
    if (token.startsWith("@")) {
      if (tokens[at++] !== "[") return refuse();
      return array(token.slice(2));
    }
    const type = TYPES[token];
    if (type !== undefined && tokens[at] !== undefined && expected === undefined) return single(type);
    if (/^['"]/.test(token)) {
      if (expected !== undefined && !"sog".includes(expected)) return refuse();
      const value = token.slice(1, -1).replace(/\\(.)/g, (_, c: string) => ESCAPES[c] ?? c);
      return { signature: expected ?? "s", value };
    }
    if (token === "true" || token === "false") {
      if (expected !== undefined && expected !== "b") return refuse();
      return { signature: "b", value: token === "true" };
    }
    const float =
      expected === "d" ||
      (expected === undefined && /^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$/.test(token));
    if (float) {
      if (token === "" || Number.isNaN(Number(token))) return refuse();
      return { signature: "d", value: Number(token) };
    }
    if (expected !== undefined && !(expected in INTEGERS)) return refuse();
    return { signature: expected ?? "i", value: integer(token, expected ?? "i") };
  };
  const array = (element?: string): Variant => {
    const items: DBusValue[] = [];
    let type = element;
    while (tokens[at] !== "]") {
      const item = single(type);
      if (type !== undefined && item.signature !== type) return refuse();
      type = item.signature;
      items.push(item.value);
      if (tokens[at] === ",") at++;
      else if (tokens[at] !== "]") return refuse();
    }
    at++;
    // An empty array needs a type annotation.
    return type === undefined ? refuse() : { signature: `a${type}`, value: items };
  };
  const value = single();
  return at === tokens.length ? value : refuse();
}

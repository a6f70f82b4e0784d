/**
 * GVariant's text format, in which annotations "org.systemd.property.NAME" give a unit's properties: true, 5, uint64 5,
 * 1.5, 'text', ['a', 'b'], @as []. Pure.
 */
import { BerthError } from "@berth/base";
import type { DBusValue, Variant } from "./wire.ts";

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

/** Parses one value; "invalid_argument" names what was found. */
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
    const [least, most] = INTEGERS[type]!;
    if (!/^[-+]?(\d+|0[xX][\da-fA-F]+)$/.test(token)) return refuse();
    const negative = token.startsWith("-");
    const value = BigInt(token.replace(/^[-+]/, "")) * (negative ? -1n : 1n);
    if (value < least || value > most) return refuse();
    return type === "x" || type === "t" ? value : Number(value);
  };
  const one = (wanted?: string): Variant => {
    const token = tokens[at++] ?? refuse();
    if (token === "[") return array(wanted);
    if (token.startsWith("@")) {
      if (tokens[at++] !== "[") return refuse();
      return array(token.slice(2));
    }
    const type = TYPES[token];
    if (type !== undefined && tokens[at] !== undefined && wanted === undefined) return one(type);
    if (/^['"]/.test(token)) {
      if (wanted !== undefined && !"sog".includes(wanted)) return refuse();
      const value = token.slice(1, -1).replace(/\\(.)/g, (_, c: string) => ESCAPES[c] ?? c);
      return { signature: wanted ?? "s", value };
    }
    if (token === "true" || token === "false") {
      if (wanted !== undefined && wanted !== "b") return refuse();
      return { signature: "b", value: token === "true" };
    }
    const float =
      wanted === "d" ||
      (wanted === undefined && /^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$/.test(token));
    if (float) {
      if (token === "" || Number.isNaN(Number(token))) return refuse();
      return { signature: "d", value: Number(token) };
    }
    if (wanted !== undefined && !(wanted in INTEGERS)) return refuse();
    return { signature: wanted ?? "i", value: integer(token, wanted ?? "i") };
  };
  const array = (element?: string): Variant => {
    const items: DBusValue[] = [];
    let type = element;
    while (tokens[at] !== "]") {
      const item = one(type);
      if (type !== undefined && item.signature !== type) return refuse();
      type = item.signature;
      items.push(item.value);
      if (tokens[at] === ",") at++;
      else if (tokens[at] !== "]") return refuse();
    }
    at++;
    // The type of an empty array must be said.
    return type === undefined ? refuse() : { signature: `a${type}`, value: items };
  };
  const value = one();
  return at === tokens.length ? value : refuse();
}

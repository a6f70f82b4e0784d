/** Quoted text in filters: Go's string syntax, in double quotes, or after `~=` also between slashes or bars. */

/** Escapes of one character. */
const SIMPLE: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11, "\\": 92 };

/** Digits of a numeric escape: how many, and their base. */
const NUMERIC: Readonly<Record<string, readonly [number, number]>> = { x: [2, 16], u: [4, 16], U: [8, 16] };

const DIGITS: Readonly<Record<number, RegExp>> = { 8: /^[0-7]+$/, 16: /^[0-9a-fA-F]+$/ };

/**
 * Reads the quoted text that begins at `at` with its mark; returns the text and the position behind it, or undefined if
 * it does not end or has an escape that Go does not know.
 */
export function readQuoted(source: string, at: number): { text: string; end: number } | undefined {
  const mark = source[at]!;
  // Bytes, as \xHH and \OOO mean bytes of UTF-8.
  const out: Buffer[] = [];
  for (let i = at + 1; i < source.length; i++) {
    const c = source[i]!;
    if (c === mark) return { text: Buffer.concat(out).toString("utf8"), end: i + 1 };
    if (c === "\n") return undefined;
    if (c !== "\\") {
      const point = String.fromCodePoint(source.codePointAt(i)!);
      i += point.length - 1;
      out.push(Buffer.from(point));
      continue;
    }
    const letter = source[++i] ?? "";
    const simple = letter === mark ? mark.charCodeAt(0) : SIMPLE[letter];
    if (simple !== undefined) {
      out.push(Buffer.of(simple));
      continue;
    }
    const octal = /[0-7]/.test(letter);
    const [count, base] = octal ? ([3, 8] as const) : (NUMERIC[letter] ?? [0, 0]);
    const from = octal ? i : i + 1;
    const digits = source.slice(from, from + count);
    if (count === 0 || digits.length < count || !DIGITS[base]!.test(digits)) return undefined;
    const value = Number.parseInt(digits, base);
    if (octal ? value > 0xff : value > 0x10ffff) return undefined;
    const isByte = octal || letter === "x";
    out.push(isByte ? Buffer.of(value) : Buffer.from(String.fromCodePoint(value)));
    i = from + count - 1;
  }
  return undefined;
}

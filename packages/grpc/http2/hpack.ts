/**
 * Header compression of HTTP/2 (RFC 7541), as far as a gRPC client needs it: headers are sent uncompressed; received
 * ones may use the static table and Huffman codes of printable characters. A dynamic table is never negotiated.
 */
import { BerthError } from "@berth/base";

/** Headers by lower-case name. */
export type Headers = Record<string, string>;

// Names (and values) 1 to 61 of RFC 7541, Appendix A.
const STATIC: readonly [name: string, value: string][] =
  `:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204\
|:status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate\
|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control\
|content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type\
|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since\
|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after\
|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate`
    .split("|")
    .map((entry) => {
      const at = entry.indexOf(" ");
      return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
    });

// Codes of one length are consecutive: the first one, and the characters they stand for.
const HUFFMAN: Readonly<Record<number, readonly [first: number, characters: string]>> = {
  5: [0, "012aceiost"],
  6: [20, " %-./3456789=A_bdfghlmnpru"],
  7: [92, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"],
  8: [248, "&*,;XZ"],
  10: [1016, '!"()?'],
  11: [2042, "'+|"],
  12: [4090, "#>"],
  13: [8185, "$@[]~"],
  14: [16380, "^}"],
  15: [32764, "<`{"],
  19: [524272, "\\"],
};

/** Encodes a header block; throws "invalid_argument" for values that are not allowed in a header. */
export function encodeHeaders(headers: Headers): Buffer {
  const parts: number[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (/[^\x20-\x7e]/.test(value) || /[^\x21-\x7e]|[A-Z]/.test(name))
      throw new BerthError(
        "invalid_argument",
        `header ${name}: found ${JSON.stringify(value)}, expected printable ASCII characters`,
        { stage: "grpc" },
      );
    parts.push(0);
    putString(parts, name);
    putString(parts, value);
  }
  return Buffer.from(parts);
}

function putString(parts: number[], text: string): void {
  putInteger(parts, text.length, 7, 0);
  for (let i = 0; i < text.length; i++) parts.push(text.charCodeAt(i));
}

function putInteger(parts: number[], value: number, bits: number, flags: number): void {
  const limit = 2 ** bits - 1;
  if (value < limit) {
    parts.push(flags | value);
    return;
  }
  parts.push(flags | limit);
  let left = value - limit;
  for (; left >= 128; left = Math.floor(left / 128)) parts.push((left % 128) | 128);
  parts.push(left);
}

/** Decodes a header block; repeated names are joined by commas. Throws "internal" for an invalid block. */
export function decodeHeaders(block: Uint8Array): Headers {
  const headers: Headers = {};
  const cursor = { block, at: 0 };
  while (cursor.at < block.length) {
    const first = block[cursor.at]!;
    let name: string;
    let value: string;
    if (first & 0x80) [name, value] = entry(integer(cursor, 7));
    else if ((first & 0xe0) === 0x20) {
      // A dynamic table size update; our table has no capacity.
      integer(cursor, 5);
      continue;
    } else {
      const index = integer(cursor, (first & 0xc0) === 0x40 ? 6 : 4);
      name = index === 0 ? string(cursor) : entry(index)[0];
      value = string(cursor);
    }
    headers[name] = name in headers ? `${headers[name]},${value}` : value;
  }
  return headers;
}

interface Cursor {
  block: Uint8Array;
  at: number;
}

function invalid(why: string): BerthError {
  return new BerthError("internal", `the server's headers cannot be read: ${why}`, { stage: "grpc" });
}

function entry(index: number): readonly [string, string] {
  const found = STATIC[index - 1];
  if (!found) throw invalid(`entry ${index} of a table that was not agreed on`);
  return found;
}

function integer(cursor: Cursor, bits: number): number {
  const limit = 2 ** bits - 1;
  let value = byte(cursor) & limit;
  if (value < limit) return value;
  for (let shift = 0; ; shift += 7) {
    const next = byte(cursor);
    value += (next & 0x7f) * 2 ** shift;
    if (next < 0x80) return value;
    if (shift > 28) throw invalid("a number that is too large");
  }
}

function byte(cursor: Cursor): number {
  const value = cursor.block[cursor.at++];
  if (value === undefined) throw invalid("they end too early");
  return value;
}

function string(cursor: Cursor): string {
  const huffman = (cursor.block[cursor.at]! & 0x80) !== 0;
  const length = integer(cursor, 7);
  const bytes = cursor.block.subarray(cursor.at, cursor.at + length);
  if (bytes.length < length) throw invalid("they end too early");
  cursor.at += length;
  return huffman
    ? unpack(bytes)
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function unpack(bytes: Uint8Array): string {
  let text = "";
  let code = 0;
  let length = 0;
  for (const each of bytes)
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((each >> bit) & 1);
      length++;
      const row = HUFFMAN[length];
      const character = row && code >= row[0] ? row[1][code - row[0]] : undefined;
      if (character !== undefined) {
        text += character;
        code = 0;
        length = 0;
      } else if (length > 30) throw invalid("a character that is not printable");
    }
  // The last byte is padded with ones, at most seven.
  if (length > 7 || code !== 2 ** length - 1) throw invalid("a character that is not printable");
  return text;
}

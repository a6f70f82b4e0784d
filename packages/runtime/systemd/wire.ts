/** D-Bus messages as bytes (dbus.freedesktop.org/doc/dbus-specification.html): little endian, every basic type. Pure. */
import { BerthError } from "@berth/base";

/** A value of D-Bus: numbers for the integers up to 32 bits and doubles, bigint for the larger ones. */
export type DBusValue = number | bigint | string | boolean | readonly DBusValue[] | Variant;

/** A value that brings its type along. */
export interface Variant {
  readonly signature: string;
  readonly value: DBusValue;
}

/** A message; the header fields that berth uses. */
export interface Message {
  type: number;
  flags: number;
  serial: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  replySerial?: number;
  destination?: string;
  sender?: string;
  signature: string;
  body: DBusValue[];
}

export const METHOD_CALL = 1;
export const METHOD_RETURN = 2;
export const ERROR = 3;
export const SIGNAL = 4;

/** The specification's limits. */
const MAX_MESSAGE = 1 << 27;
const MAX_ARRAY = 1 << 26;
const MAX_DEPTH = 32;

const ALIGNMENT: Readonly<Record<string, number>> = {
  y: 1,
  b: 4,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 4,
  o: 4,
  g: 1,
  a: 4,
  "(": 8,
  "{": 8,
  v: 1,
};

const utf8 = new TextEncoder();
const text = new TextDecoder();

function malformed(what: string): BerthError {
  return new BerthError("data_loss", `a malformed D-Bus message: ${what}`, { stage: "systemd" });
}

/** Splits a signature into its complete types: "a{sv}u" -> ["a{sv}", "u"]. */
export function splitSignature(signature: string): string[] {
  const out: string[] = [];
  const end = (at: number): number => {
    const letter = signature[at];
    if (letter === undefined) throw malformed(`signature ${signature}`);
    if (letter === "a") return end(at + 1);
    if (letter !== "(" && letter !== "{") {
      if (!(letter in ALIGNMENT)) throw malformed(`signature ${signature}`);
      return at + 1;
    }
    const close = letter === "(" ? ")" : "}";
    let next = at + 1;
    while (signature[next] !== close) next = end(next);
    return next + 1;
  };
  for (let at = 0; at < signature.length; ) {
    const next = end(at);
    out.push(signature.slice(at, next));
    at = next;
  }
  return out;
}

class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  size = 0;

  #room(count: number): number {
    const at = this.size;
    this.size += count;
    if (this.size > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.size);
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
  align(to: number): void {
    this.#room((to - (this.size % to)) % to);
  }
  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }
  u32(value: number): void {
    this.align(4);
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }
  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }
  #text(value: string, short: boolean): void {
    const bytes = utf8.encode(value);
    if (value.includes("\0"))
      throw new BerthError("invalid_argument", `a NUL character in ${JSON.stringify(value)}`);
    if (short) this.u8(bytes.length);
    else this.u32(bytes.length);
    // First the room, which may move the bytes.
    const at = this.#room(bytes.length + 1);
    this.#bytes.set(bytes, at);
  }
  #number(letter: "n" | "q" | "i" | "x" | "t" | "d", value: number | bigint): void {
    const at = this.#room(ALIGNMENT[letter]!);
    if (letter === "n") this.#view.setInt16(at, Number(value), true);
    else if (letter === "q") this.#view.setUint16(at, Number(value), true);
    else if (letter === "i") this.#view.setInt32(at, Number(value), true);
    else if (letter === "x") this.#view.setBigInt64(at, BigInt(value), true);
    else if (letter === "t") this.#view.setBigUint64(at, BigInt(value), true);
    else this.#view.setFloat64(at, Number(value), true);
  }
  value(type: string, value: DBusValue): void {
    const letter = type[0]!;
    this.align(ALIGNMENT[letter]!);
    switch (letter) {
      case "y":
        this.u8(Number(value));
        break;
      case "b":
      case "u":
      case "h":
        this.u32(Number(value));
        break;
      case "n":
      case "q":
      case "i":
      case "x":
      case "t":
      case "d":
        this.#number(letter, value as number | bigint);
        break;
      case "s":
      case "o":
        this.#text(String(value), false);
        break;
      case "g":
        this.#text(String(value), true);
        break;
      case "v": {
        const variant = value as Variant;
        this.#text(variant.signature, true);
        this.value(variant.signature, variant.value);
        break;
      }
      case "a": {
        const element = type.slice(1);
        const length = this.#room(4);
        this.align(ALIGNMENT[element[0]!]!);
        const start = this.size;
        for (const item of value as readonly DBusValue[]) this.value(element, item);
        this.setU32(length, this.size - start);
        break;
      }
      default: {
        const items = value as readonly DBusValue[];
        splitSignature(type.slice(1, -1)).forEach((inner, i) => {
          this.value(inner, items[i]!);
        });
      }
    }
  }
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.size);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }
  align(to: number): void {
    this.#take((to - (this.at % to)) % to);
  }
  #take(count: number): number {
    const at = this.at;
    this.at += count;
    if (this.at > this.#bytes.length) throw malformed("it ends early");
    return at;
  }
  #text(length: number): string {
    const at = this.#take(length + 1);
    return text.decode(this.#bytes.subarray(at, at + length));
  }
  value(type: string, depth = 0): DBusValue {
    if (depth > MAX_DEPTH) throw malformed("it is nested too deeply");
    const letter = type[0]!;
    this.align(ALIGNMENT[letter]!);
    switch (letter) {
      case "y":
        return this.#view.getUint8(this.#take(1));
      case "n":
        return this.#view.getInt16(this.#take(2), true);
      case "q":
        return this.#view.getUint16(this.#take(2), true);
      case "i":
        return this.#view.getInt32(this.#take(4), true);
      case "b":
        return this.#view.getUint32(this.#take(4), true) !== 0;
      case "u":
      case "h":
        return this.#view.getUint32(this.#take(4), true);
      case "x":
        return this.#view.getBigInt64(this.#take(8), true);
      case "t":
        return this.#view.getBigUint64(this.#take(8), true);
      case "d":
        return this.#view.getFloat64(this.#take(8), true);
      case "s":
      case "o":
        return this.#text(this.#view.getUint32(this.#take(4), true));
      case "g":
        return this.#text(this.#view.getUint8(this.#take(1)));
      case "v": {
        const signature = this.#text(this.#view.getUint8(this.#take(1)));
        if (splitSignature(signature).length !== 1)
          throw malformed(`a variant of ${JSON.stringify(signature)}`);
        return { signature, value: this.value(signature, depth + 1) };
      }
      case "a": {
        const length = this.#view.getUint32(this.#take(4), true);
        if (length > MAX_ARRAY) throw malformed("an array is too long");
        const element = type.slice(1);
        this.align(ALIGNMENT[element[0]!]!);
        const end = this.at + length;
        const out: DBusValue[] = [];
        while (this.at < end) out.push(this.value(element, depth + 1));
        if (this.at !== end) throw malformed("an array's length is wrong");
        return out;
      }
      default:
        return splitSignature(type.slice(1, -1)).map((inner) => this.value(inner, depth + 1));
    }
  }
}

/** Header fields by their codes: name in {@link Message}, type. */
const FIELDS: readonly (readonly [name: keyof Message, type: string] | undefined)[] = [
  undefined,
  ["path", "o"],
  ["interface", "s"],
  ["member", "s"],
  ["errorName", "s"],
  ["replySerial", "u"],
  ["destination", "s"],
  ["sender", "s"],
  ["signature", "g"],
];

/** A message as bytes. */
export function encodeMessage(message: Message): Uint8Array {
  const body = new Writer();
  splitSignature(message.signature).forEach((type, i) => {
    body.value(type, message.body[i]!);
  });
  const fields: DBusValue[] = [];
  FIELDS.forEach((field, code) => {
    if (field === undefined) return;
    const value = message[field[0]];
    if (value === undefined || value === "") return;
    fields.push([code, { signature: field[1], value: value as DBusValue }]);
  });
  const head = new Writer();
  head.u8("l".charCodeAt(0));
  head.u8(message.type);
  head.u8(message.flags);
  head.u8(1); // protocol version
  head.u32(body.size);
  head.u32(message.serial);
  head.value("a(yv)", fields);
  head.align(8);
  const out = new Uint8Array(head.size + body.size);
  out.set(head.finish());
  out.set(body.finish(), head.size);
  return out;
}

/** The first whole message of what has arrived, and how many bytes it takes; undefined when more must come. */
export function decodeMessage(bytes: Uint8Array): { message: Message; size: number } | undefined {
  if (bytes.length < 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] !== 0x6c) throw malformed("it is not little endian");
  const bodySize = view.getUint32(4, true);
  const fieldsSize = view.getUint32(12, true);
  const headSize = (16 + fieldsSize + 7) & ~7;
  const size = headSize + bodySize;
  if (bodySize > MAX_MESSAGE || fieldsSize > MAX_ARRAY || size > MAX_MESSAGE)
    throw malformed("it is too long");
  if (bytes.length < size) return undefined;
  const whole = bytes.subarray(0, size);
  const message: Message = {
    type: bytes[1]!,
    flags: bytes[2]!,
    serial: view.getUint32(8, true),
    signature: "",
    body: [],
  };
  const facts: Record<string, DBusValue> = {};
  for (const entry of new Reader(whole, 12).value("a(yv)") as [number, Variant][]) {
    const field = FIELDS[entry[0]];
    if (field !== undefined && entry[1].signature === field[1]) facts[field[0]] = entry[1].value;
  }
  Object.assign(message, facts);
  const reader = new Reader(whole, headSize);
  message.body = splitSignature(message.signature).map((type) => reader.value(type));
  return { message, size };
}

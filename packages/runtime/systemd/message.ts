/** D-Bus messages, little endian (dbus.freedesktop.org/doc/dbus-specification.html). Pure. */
import { MAX_ARRAY, Reader } from "./reader.ts";
import { type DBusValue, malformed, splitSignature, type Variant } from "./types.ts";
import { Writer } from "./writer.ts";

/** A message with the header fields that berth uses. */
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

/** The specification's limit, in bytes. */
const MAX_MESSAGE = 1 << 27;

/** Header fields by code: property of {@link Message}, and type. */
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

/** Encodes a message. */
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
  const header = new Writer();
  header.u8("l".charCodeAt(0));
  header.u8(message.type);
  header.u8(message.flags);
  header.u8(1); // protocol version
  header.u32(body.size);
  header.u32(message.serial);
  header.value("a(yv)", fields);
  header.align(8);
  const out = new Uint8Array(header.size + body.size);
  out.set(header.finish());
  out.set(body.finish(), header.size);
  return out;
}

/** Decodes the first message of a buffer, and returns its size in bytes; undefined if the buffer ends before it does. */
export function decodeMessage(bytes: Uint8Array): { message: Message; size: number } | undefined {
  if (bytes.length < 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] !== 0x6c) throw malformed("it is not little endian");
  const bodySize = view.getUint32(4, true);
  const fieldsSize = view.getUint32(12, true);
  const headerSize = (16 + fieldsSize + 7) & ~7;
  const size = headerSize + bodySize;
  if (bodySize > MAX_MESSAGE || fieldsSize > MAX_ARRAY || size > MAX_MESSAGE)
    throw malformed("it is too long");
  if (bytes.length < size) return undefined;
  const complete = bytes.subarray(0, size);
  const message: Message = {
    type: bytes[1]!,
    flags: bytes[2]!,
    serial: view.getUint32(8, true),
    signature: "",
    body: [],
  };
  const fields: Record<string, DBusValue> = {};
  for (const entry of new Reader(complete, 12).value("a(yv)") as [number, Variant][]) {
    const field = FIELDS[entry[0]];
    if (field !== undefined && entry[1].signature === field[1]) fields[field[0]] = entry[1].value;
  }
  Object.assign(message, fields);
  const reader = new Reader(complete, headerSize);
  message.body = splitSignature(message.signature).map((type) => reader.value(type));
  return { message, size };
}

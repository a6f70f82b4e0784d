/**
 * A small stand-in for @bufbuild/protobuf, for short-lived programs: `create`, `toBinary` and `fromBinary` for proto3
 * messages without oneofs, which is all the API has. The compiled commands use it instead of the library
 * (packages/bin/tsconfig.bundle.json), as it starts in a tenth of the time; messages.test.ts compares the two.
 */
import { type Field, type LiteMessage, TYPE } from "./descriptors.ts";
import { Reader, WIRE, Writer } from "./wire.ts";

/** A message: its type's name and its fields. */
export type Message = { $typeName: string } & Record<string, unknown>;

const EMPTY = new Uint8Array(0);

/** Creates a message with the given fields, and defaults for all others. */
export function create(desc: LiteMessage, init: Record<string, unknown> = {}): Message {
  if (init.$typeName === desc.typeName) return init as Message;
  const message: Message = { $typeName: desc.typeName };
  for (const field of desc.fields) {
    const value = init[field.localName];
    if (value !== undefined && value !== null) message[field.localName] = initialised(field, value);
    else if (field.map) message[field.localName] = {};
    else if (field.repeated) message[field.localName] = [];
    else if (!field.optional) message[field.localName] = defaultOf(field.type);
  }
  return message;
}

function initialised(field: Field, value: unknown): unknown {
  if (field.map) {
    const inner = field.map.value.message;
    if (!inner) return value;
    return Object.fromEntries(
      Object.entries(value as object).map(([key, each]) => [
        key,
        create(inner, each as Record<string, unknown>),
      ]),
    );
  }
  if (!field.message) return value;
  const { message } = field;
  return field.repeated
    ? (value as Record<string, unknown>[]).map((each) => create(message, each))
    : create(message, value as Record<string, unknown>);
}

function defaultOf(type: number): unknown {
  switch (type) {
    case TYPE.string:
      return "";
    case TYPE.bool:
      return false;
    case TYPE.bytes:
      return EMPTY;
    case TYPE.int64:
    case TYPE.uint64:
      return 0n;
    default:
      return 0;
  }
}

/** Encodes a message. */
export function toBinary(desc: LiteMessage, message: Message): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  writeMessage(desc, message, writer);
  return writer.finish();
}

function writeMessage(desc: LiteMessage, message: Message, writer: Writer): void {
  for (const field of desc.fields) {
    const value = message[field.localName];
    if (value === undefined || value === null) continue;
    if (field.map) writeMap(field, value as Record<string, unknown>, writer);
    else if (field.repeated) writeList(field, value as unknown[], writer);
    else if (field.optional || !isDefault(value)) writeField(field, value, writer);
  }
}

function isDefault(value: unknown): boolean {
  // -0 is not the default: it is written.
  if (value instanceof Uint8Array) return value.length === 0;
  return value === "" || value === false || value === 0n || Object.is(value, 0);
}

function writeMap(field: Field, value: Record<string, unknown>, writer: Writer): void {
  const { key, value: inner } = field.map!;
  for (const [name, each] of Object.entries(value)) {
    const entry = new Writer();
    writeField(key, name, entry);
    writeField(inner, each, entry);
    writer.tag(field.number, WIRE.bytes);
    writer.bytes(entry.finish());
  }
}

function writeList(field: Field, values: readonly unknown[], writer: Writer): void {
  if (values.length === 0) return;
  if (field.type === TYPE.string || field.type === TYPE.bytes || field.type === TYPE.message) {
    for (const each of values) writeField(field, each, writer);
    return;
  }
  const packed = new Writer();
  for (const each of values) writeValue(field.type, each, packed);
  writer.tag(field.number, WIRE.bytes);
  writer.bytes(packed.finish());
}

function writeField(field: Field, value: unknown, writer: Writer): void {
  if (field.message) {
    writer.tag(field.number, WIRE.bytes);
    writer.bytes(toBinary(field.message, value as Message));
    return;
  }
  writer.tag(field.number, wireTypeOf(field.type));
  writeValue(field.type, value, writer);
}

function wireTypeOf(type: number): number {
  if (type === TYPE.string || type === TYPE.bytes) return WIRE.bytes;
  return type === TYPE.double ? WIRE.fixed64 : WIRE.varint;
}

function writeValue(type: number, value: unknown, writer: Writer): void {
  switch (type) {
    case TYPE.string:
      writer.string(value as string);
      break;
    case TYPE.bytes:
      writer.bytes(value as Uint8Array);
      break;
    case TYPE.bool:
      writer.uint32(value ? 1 : 0);
      break;
    case TYPE.uint32:
      writer.uint32(value as number);
      break;
    case TYPE.int32:
    case TYPE.enum:
      // Negative numbers are written with 64 bits.
      if ((value as number) < 0) writer.uint64(BigInt(value as number));
      else writer.uint32(value as number);
      break;
    case TYPE.int64:
    case TYPE.uint64:
      writer.uint64(BigInt(value as bigint));
      break;
    case TYPE.double:
      writer.double(value as number);
      break;
    default:
      throw new Error(`fields of type ${type} are not supported`);
  }
}

/** Decodes a message; unknown fields are skipped. */
export function fromBinary(desc: LiteMessage, bytes: Uint8Array): Message {
  const message = create(desc);
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.uint32();
    const field = desc.byNumber.get(tag >>> 3);
    if (field) readField(field, tag & 7, message, reader);
    else reader.skip(tag & 7);
  }
  return message;
}

function readField(field: Field, wireType: number, message: Message, reader: Reader): void {
  const name = field.localName;
  if (field.map) {
    const [key, value] = readEntry(field.map, reader.bytes());
    (message[name] as Record<string, unknown>)[key] = value;
  } else if (field.repeated) {
    const list = message[name] as unknown[];
    const packed = wireType === WIRE.bytes && wireTypeOf(field.type) !== WIRE.bytes && !field.message;
    if (!packed) list.push(readValue(field, reader));
    else {
      const inner = new Reader(reader.bytes());
      while (!inner.done) list.push(readValue(field, inner));
    }
  } else if (field.message && message[name] !== undefined) {
    // A message field that occurs twice is merged, as the wire format requires.
    const more = fromBinary(field.message, reader.bytes());
    Object.assign(message[name] as object, more);
  } else message[name] = readValue(field, reader);
}

function readEntry(map: NonNullable<Field["map"]>, bytes: Uint8Array): [string, unknown] {
  const reader = new Reader(bytes);
  let key: unknown = "";
  let value: unknown = map.value.message ? create(map.value.message) : defaultOf(map.value.type);
  while (!reader.done) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) key = readValue(map.key, reader);
    else if (tag >>> 3 === 2) value = readValue(map.value, reader);
    else reader.skip(tag & 7);
  }
  return [String(key), value];
}

function readValue(field: Field, reader: Reader): unknown {
  switch (field.type) {
    case TYPE.string:
      return reader.string();
    case TYPE.bytes:
      return reader.bytes();
    case TYPE.bool:
      return reader.uint64() !== 0n;
    case TYPE.uint32:
      return reader.uint32();
    case TYPE.int32:
    case TYPE.enum:
      return reader.uint32() | 0;
    case TYPE.int64:
      return BigInt.asIntN(64, reader.uint64());
    case TYPE.uint64:
      return reader.uint64();
    case TYPE.double:
      return reader.double();
    case TYPE.message:
      return fromBinary(field.message!, reader.bytes());
    default:
      throw new Error(`fields of type ${field.type} are not supported`);
  }
}

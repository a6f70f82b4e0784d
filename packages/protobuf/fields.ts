/**
 * Messages without a descriptor: fields written and read by number, for protocols with a few small messages. Pure.
 */
import { BerthError } from "@berth/base";
import { Reader, WIRE, Writer } from "./wire.ts";

const text = new TextDecoder();

/** Writes the fields of one message, in call order; undefined values are omitted. */
export class MessageWriter {
  readonly #out = new Writer();

  /** An int32, uint32, enum or (0 and 1) bool. */
  number(field: number, value: number | undefined): this {
    if (value === undefined) return this;
    this.#out.tag(field, WIRE.varint);
    // Negative numbers take 64 bits on the wire.
    if (value < 0 || value > 0xffff_ffff) this.#out.uint64(BigInt(value));
    else this.#out.uint32(value);
    return this;
  }
  /** A bool; false is the default and omitted. */
  flag(field: number, value: boolean | undefined): this {
    return value ? this.number(field, 1) : this;
  }
  text(field: number, value: string | undefined): this {
    if (value === undefined) return this;
    this.#out.tag(field, WIRE.bytes);
    this.#out.string(value);
    return this;
  }
  message(field: number, value: MessageWriter | undefined): this {
    return this.bytes(field, value?.finish());
  }
  /** A field's encoded bytes, copied from another message. */
  bytes(field: number, value: Uint8Array | undefined): this {
    if (value === undefined) return this;
    this.#out.tag(field, WIRE.bytes);
    this.#out.bytes(value);
    return this;
  }
  finish(): Uint8Array<ArrayBuffer> {
    return this.#out.finish();
  }
}

/** A received message: the last value of each field, or all of them. */
export class MessageReader {
  readonly #numbers = new Map<number, bigint>();
  readonly #bytes = new Map<number, Uint8Array[]>();

  /** Throws "data_loss" if the bytes are not a protobuf message. */
  constructor(bytes: Uint8Array) {
    const reader = new Reader(bytes);
    try {
      while (!reader.done) {
        const tag = reader.uint32();
        const [field, type] = [tag >>> 3, tag & 7];
        if (type === WIRE.varint) this.#numbers.set(field, reader.uint64());
        else if (type !== WIRE.bytes) reader.skip(type);
        else {
          const values = this.#bytes.get(field);
          if (values === undefined) this.#bytes.set(field, [reader.bytes()]);
          else values.push(reader.bytes());
        }
      }
    } catch (cause) {
      throw new BerthError("data_loss", `a malformed protobuf message of ${bytes.length} bytes`, { cause });
    }
  }

  /** An int32; 0 when absent. */
  number(field: number): number {
    return Number(BigInt.asIntN(32, this.#numbers.get(field) ?? 0n));
  }
  flag(field: number): boolean {
    return (this.#numbers.get(field) ?? 0n) !== 0n;
  }
  text(field: number): string | undefined {
    const bytes = this.bytes(field);
    return bytes === undefined ? undefined : text.decode(bytes);
  }
  bytes(field: number): Uint8Array | undefined {
    return this.#bytes.get(field)?.at(-1);
  }
  message(field: number): MessageReader | undefined {
    const bytes = this.bytes(field);
    return bytes === undefined ? undefined : new MessageReader(bytes);
  }
  /** Every value of a repeated message field, in order. */
  messages(field: number): MessageReader[] {
    return (this.#bytes.get(field) ?? []).map((bytes) => new MessageReader(bytes));
  }
}

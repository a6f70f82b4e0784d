/** The part of protobuf's wire format that CRIU's messages need: varints and length-delimited fields. Pure. */
import { BerthError } from "@berth/base";

const utf8 = new TextEncoder();
const text = new TextDecoder();
const VARINT = 0;
const LENGTH = 2;

/** Writes the fields of one message, in the order of the calls; undefined values are left out. */
export class MessageWriter {
  readonly #bytes: number[] = [];

  #varint(value: bigint): void {
    let left = BigInt.asUintN(64, value);
    for (; left > 0x7fn; left >>= 7n) this.#bytes.push(Number(left & 0x7fn) | 0x80);
    this.#bytes.push(Number(left));
  }
  #raw(field: number, bytes: Uint8Array): this {
    this.#varint(BigInt((field << 3) | LENGTH));
    this.#varint(BigInt(bytes.length));
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  /** An int32, uint32, enum or (0 and 1) bool. */
  number(field: number, value: number | undefined): this {
    if (value === undefined) return this;
    this.#varint(BigInt((field << 3) | VARINT));
    this.#varint(BigInt(value));
    return this;
  }
  /** A bool; false is the default of all of them and is left out. */
  flag(field: number, value: boolean | undefined): this {
    return value ? this.number(field, 1) : this;
  }
  text(field: number, value: string | undefined): this {
    return value === undefined ? this : this.#raw(field, utf8.encode(value));
  }
  message(field: number, value: MessageWriter | undefined): this {
    return value === undefined ? this : this.#raw(field, value.finish());
  }
  /** A field's bytes as another message had them. */
  bytes(field: number, value: Uint8Array | undefined): this {
    return value === undefined ? this : this.#raw(field, value);
  }
  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** A received message: the last value of each field, by number. */
export class MessageReader {
  readonly #numbers = new Map<number, bigint>();
  readonly #bytes = new Map<number, Uint8Array>();

  /** "data_loss" for what is no protobuf message. */
  constructor(bytes: Uint8Array) {
    let at = 0;
    const broken = () =>
      new BerthError("data_loss", `a malformed protobuf message at byte ${at} of ${bytes.length}`);
    const varint = (): bigint => {
      let value = 0n;
      for (let shift = 0n; ; shift += 7n) {
        const byte = bytes[at++];
        if (byte === undefined || shift > 63n) throw broken();
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) return BigInt.asUintN(64, value);
      }
    };
    while (at < bytes.length) {
      const key = Number(varint());
      const [field, type] = [key >>> 3, key & 7];
      if (type === VARINT) this.#numbers.set(field, varint());
      else if (type === LENGTH) {
        const size = Number(varint());
        if (size > bytes.length - at) throw broken();
        this.#bytes.set(field, bytes.subarray(at, at + size));
        at += size;
      } else if (type === 1 || type === 5) {
        at += type === 1 ? 8 : 4;
        if (at > bytes.length) throw broken();
      } else throw broken();
    }
  }

  /** An int32; 0 when it is not there. */
  number(field: number): number {
    return Number(BigInt.asIntN(32, this.#numbers.get(field) ?? 0n));
  }
  flag(field: number): boolean {
    return (this.#numbers.get(field) ?? 0n) !== 0n;
  }
  text(field: number): string | undefined {
    const bytes = this.#bytes.get(field);
    return bytes === undefined ? undefined : text.decode(bytes);
  }
  bytes(field: number): Uint8Array | undefined {
    return this.#bytes.get(field);
  }
  message(field: number): MessageReader | undefined {
    const bytes = this.#bytes.get(field);
    return bytes === undefined ? undefined : new MessageReader(bytes);
  }
}

/** The protobuf wire format: a reader and a writer of tags, varints and byte strings. */

const utf8 = new TextDecoder();
const encoder = new TextEncoder();

/** Wire types. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Reads fields in sequence; throws a RangeError for a truncated message. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }
  /** An unsigned varint of up to 32 bits; longer ones are truncated, as protobuf specifies. */
  uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError("invalid varint");
  }
  /** A varint of up to 64 bits. */
  uint64(): bigint {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    }
    throw new RangeError("invalid varint");
  }
  double(): number {
    const at = this.#take(8);
    return this.#view.getFloat64(at, true);
  }
  /** A view of the next length-delimited bytes. */
  bytes(): Uint8Array {
    const length = this.uint32();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }
  string(): string {
    return utf8.decode(this.bytes());
  }
  /** Skips a field's value. */
  skip(wireType: number): void {
    if (wireType === WIRE.varint) this.uint64();
    else if (wireType === WIRE.bytes) this.bytes();
    else if (wireType === WIRE.fixed64) this.#take(8);
    else if (wireType === WIRE.fixed32) this.#take(4);
    else throw new RangeError(`unknown wire type ${wireType}`);
  }
  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new RangeError("message ends too early");
    return byte;
  }
  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError("message ends too early");
    return at;
  }
}

/** Collects the bytes of a message. */
export class Writer {
  #bytes = new Uint8Array(256);
  #used = 0;

  #room(more: number): void {
    if (this.#used + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#used + more));
    grown.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = grown;
  }
  tag(number: number, wireType: number): void {
    this.uint32(((number << 3) | wireType) >>> 0);
  }
  uint32(value: number): void {
    this.#room(5);
    let left = value >>> 0;
    while (left > 0x7f) {
      this.#bytes[this.#used++] = (left & 0x7f) | 0x80;
      left >>>= 7;
    }
    this.#bytes[this.#used++] = left;
  }
  /** A varint of 64 bits; negative values as two's complement. */
  uint64(value: bigint): void {
    this.#room(10);
    let left = BigInt.asUintN(64, value);
    while (left > 0x7fn) {
      this.#bytes[this.#used++] = Number(left & 0x7fn) | 0x80;
      left >>= 7n;
    }
    this.#bytes[this.#used++] = Number(left);
  }
  double(value: number): void {
    this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#used, value, true);
    this.#used += 8;
  }
  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.#room(value.length);
    this.#bytes.set(value, this.#used);
    this.#used += value.length;
  }
  string(value: string): void {
    this.bytes(encoder.encode(value));
  }
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#used);
  }
}

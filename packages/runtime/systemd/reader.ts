/** Unmarshals D-Bus values, little endian. Pure. */
import { ALIGNMENT, type DBusValue, malformed, splitSignature } from "./types.ts";

/** The specification's limits: bytes of an array, and nesting. */
export const MAX_ARRAY = 1 << 26;
const MAX_DEPTH = 32;

const utf8 = new TextDecoder();

/** Reads values from `at` on; "data_loss" if they are malformed. Alignment is relative to the start of `bytes`. */
export class Reader {
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
    return utf8.decode(this.#bytes.subarray(at, at + length));
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

/** Marshals D-Bus values, little endian. Pure. */
import { BerthError } from "@berth/base";
import { ALIGNMENT, type DBusValue, splitSignature, type Variant } from "./types.ts";

const utf8 = new TextEncoder();

/** A growing buffer. Alignment is relative to its start. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  size = 0;

  #reserve(count: number): number {
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
    this.#reserve((to - (this.size % to)) % to);
  }
  u8(value: number): void {
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
  }
  u32(value: number): void {
    this.align(4);
    const at = this.#reserve(4);
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
    // Reserved first, as that may reallocate #bytes.
    const at = this.#reserve(bytes.length + 1);
    this.#bytes.set(bytes, at);
  }
  #number(letter: "n" | "q" | "i" | "x" | "t" | "d", value: number | bigint): void {
    const at = this.#reserve(ALIGNMENT[letter]!);
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
        const length = this.#reserve(4);
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

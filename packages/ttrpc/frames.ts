/** ttrpc's frames: length, stream, type, flags (10 bytes, big-endian), then that many bytes. */
import { BerthError } from "@berth/base";

export const TYPE = { request: 1, response: 2, data: 3 } as const;
export const FLAG = {
  /** The sender sends no more on this stream. */
  closed: 1,
  /** On a request: data frames follow. */
  open: 2,
  /** On data: no message, as opposed to an empty one. */
  empty: 4,
} as const;

/** Largest payload of a frame, in bytes: the protocol's limit. */
export const MAX_PAYLOAD = 4 << 20;
const HEADER = 10;
/** From this size on, a payload is written separately from its header rather than copied. */
const SPLIT_THRESHOLD = 16 << 10;
const NOTHING: Uint8Array = new Uint8Array(0);

/** One frame. `oversized` is the size of a payload that exceeded the limit and was discarded. */
export interface Frame {
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  readonly oversized?: number;
}

/** "resource_exhausted" for a payload over the limit. */
export function tooLarge(size: number): BerthError {
  return new BerthError(
    "resource_exhausted",
    `message of ${size} bytes is larger than ttrpc's limit of ${MAX_PAYLOAD}`,
    { stage: "ttrpc" },
  );
}

/** The bytes of a frame: one or two buffers, to be written in order. "resource_exhausted" above the limit. */
export function encodeFrame(stream: number, type: number, flags: number, payload = NOTHING): Uint8Array[] {
  if (payload.length > MAX_PAYLOAD) throw tooLarge(payload.length);
  const small = payload.length < SPLIT_THRESHOLD;
  const head = Buffer.allocUnsafe(small ? HEADER + payload.length : HEADER);
  head.writeUInt32BE(payload.length, 0);
  head.writeUInt32BE(stream, 4);
  head[8] = type;
  head[9] = flags;
  if (!small) return [head, payload];
  head.set(payload, HEADER);
  return [head];
}

/** Splits a byte stream into frames. Payloads over the limit are skipped as they arrive and never buffered. */
export class FrameReader {
  #chunks: Uint8Array[] = [];
  #have = 0;
  #header: { length: number; stream: number; type: number; flags: number } | undefined;
  #skip = 0;

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
  }

  /** The next whole frame, or undefined until more has been pushed. Its payload may share memory with the chunks. */
  next(): Frame | undefined {
    if (this.#header === undefined) {
      if (this.#have < HEADER) return undefined;
      const head = this.#take(HEADER);
      const view = new DataView(head.buffer, head.byteOffset, HEADER);
      this.#header = {
        length: view.getUint32(0),
        stream: view.getUint32(4),
        type: head[8]!,
        flags: head[9]!,
      };
      if (this.#header.length > MAX_PAYLOAD) this.#skip = this.#header.length;
    }
    const { length, stream, type, flags } = this.#header;
    if (length > MAX_PAYLOAD) {
      const part = Math.min(this.#skip, this.#have);
      if (part > 0) this.#drop(part);
      this.#skip -= part;
      if (this.#skip > 0) return undefined;
      this.#header = undefined;
      return { stream, type, flags, payload: NOTHING, oversized: length };
    }
    if (this.#have < length) return undefined;
    this.#header = undefined;
    return { stream, type, flags, payload: length === 0 ? NOTHING : this.#take(length) };
  }

  #drop(size: number): void {
    this.#have -= size;
    let left = size;
    while (left > 0) {
      const first = this.#chunks[0]!;
      if (first.length > left) this.#chunks[0] = first.subarray(left);
      else this.#chunks.shift();
      left -= Math.min(left, first.length);
    }
  }

  #take(size: number): Uint8Array {
    const first = this.#chunks[0]!;
    if (first.length >= size) {
      this.#drop(size);
      return first.subarray(0, size);
    }
    const whole = Buffer.allocUnsafe(size);
    let filled = 0;
    for (const chunk of this.#chunks) {
      const part = chunk.subarray(0, size - filled);
      whole.set(part, filled);
      filled += part.length;
      if (filled === size) break;
    }
    this.#drop(size);
    return whole;
  }
}

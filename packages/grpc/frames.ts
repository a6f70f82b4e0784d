/**
 * gRPC's length-prefixed messages: one byte of flags, four of length, then the message.
 *
 * {@link FrameReader} takes chunks as they arrive and returns whole messages; it never holds more than one message of
 * the allowed size plus what arrived with it.
 */
import { BerthError } from "@berth/base";

/** Default limit on a received message, in bytes: containerd's. */
export const DEFAULT_MAX_MESSAGE = 16 << 20;
/** Messages smaller than this many bytes are sent uncompressed even when gzip was negotiated. */
const GZIP_THRESHOLD = 1024;
/** From this size on, header and message are written separately rather than copied together. */
const SPLIT_THRESHOLD = 16 << 10;

// Loaded at the first compressed message: most connections never see one, and commands must start at once.
const zlib = () => process.getBuiltinModule("node:zlib");

/** Message encodings that berth supports. */
export type Encoding = "identity" | "gzip";

/** Reads `grpc-encoding`; "unimplemented" for encodings other than identity and gzip. */
export function encodingOf(header: unknown): Encoding {
  if (header === undefined || header === "identity") return "identity";
  if (header === "gzip") return "gzip";
  throw new BerthError("unimplemented", `message encoding ${JSON.stringify(header)} is not supported`, {
    hint: "use identity or gzip",
  });
}

/** Frames a message: one or two buffers, to be written in order. */
export function frame(message: Uint8Array, encoding: Encoding): Uint8Array[] {
  const zip = encoding === "gzip" && message.length >= GZIP_THRESHOLD;
  const body = zip ? zlib().gzipSync(message, { level: 1 }) : message;
  if (body.length >= SPLIT_THRESHOLD) {
    const header = Buffer.allocUnsafe(5);
    header[0] = zip ? 1 : 0;
    header.writeUInt32BE(body.length, 1);
    return [header, body];
  }
  const framed = Buffer.allocUnsafe(5 + body.length);
  framed[0] = zip ? 1 : 0;
  framed.writeUInt32BE(body.length, 1);
  framed.set(body, 5);
  return [framed];
}

/** Splits a byte stream into messages. */
export class FrameReader {
  #chunks: Uint8Array[] = [];
  #have = 0;
  #need = -1;
  #zipped = false;
  readonly #max: number;
  readonly #encoding: Encoding;

  constructor(max: number, encoding: Encoding) {
    this.#max = max;
    this.#encoding = encoding;
  }

  /** Bytes currently buffered. */
  get size(): number {
    return this.#have;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
  }

  /**
   * The next whole message, or undefined until more has been pushed. Throws "resource_exhausted" for one over the
   * limit and "internal" for flags that violate the protocol. The message may share memory with the chunks.
   */
  next(): Uint8Array | undefined {
    if (this.#need < 0) {
      if (this.#have < 5) return undefined;
      const header = this.#take(5);
      const flags = header[0]!;
      this.#need = ((header[1]! << 24) | (header[2]! << 16) | (header[3]! << 8) | header[4]!) >>> 0;
      this.#zipped = flags === 1;
      if (flags > 1)
        throw new BerthError("internal", `message with flags ${flags} instead of 0 or 1`, { stage: "grpc" });
      if (this.#zipped && this.#encoding !== "gzip")
        throw new BerthError("internal", "compressed message without a grpc-encoding header", {
          stage: "grpc",
        });
      if (this.#need > this.#max)
        throw new BerthError(
          "resource_exhausted",
          `message of ${this.#need} bytes is larger than the limit of ${this.#max}`,
          { stage: "grpc" },
        );
    }
    if (this.#have < this.#need) return undefined;
    const body = this.#take(this.#need);
    this.#need = -1;
    if (!this.#zipped) return body;
    try {
      return zlib().gunzipSync(body, { maxOutputLength: this.#max });
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
      throw new BerthError(
        code ? "resource_exhausted" : "internal",
        code ? `message is larger than the limit of ${this.#max} once unzipped` : "message is not valid gzip",
        { stage: "grpc", cause },
      );
    }
  }

  /** Throws if the stream ended in the middle of a message. */
  end(): void {
    if (this.#have > 0 || this.#need >= 0)
      throw new BerthError("internal", "the stream ended in the middle of a message", { stage: "grpc" });
  }

  #take(size: number): Uint8Array {
    this.#have -= size;
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= size) {
      if (first.length === size) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(size);
      return first.subarray(0, size);
    }
    const out = Buffer.allocUnsafe(size);
    let filled = 0;
    let used = 0;
    while (filled < size) {
      const chunk = this.#chunks[used]!;
      const part = Math.min(chunk.length, size - filled);
      out.set(part === chunk.length ? chunk : chunk.subarray(0, part), filled);
      filled += part;
      if (part === chunk.length) used++;
      else this.#chunks[used] = chunk.subarray(part);
    }
    this.#chunks.splice(0, used);
    return out;
  }
}

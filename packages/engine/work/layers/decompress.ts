/** Detects the compression of a stream by its first bytes, and decompresses it as it arrives. */
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { BerthError } from "@berth/base";

/** Compressions of layers. */
export type Compression = "gzip" | "zstd" | "none";

const CHUNK = 256 << 10;

/** Compression of a stream that begins with `head` (four bytes suffice). */
export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return "zstd";
  return "none";
}

/** Yields the uncompressed bytes; throws "data_loss" if they are corrupt. `name` is the source's name in errors. */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<Uint8Array> {
  const input = source[Symbol.asyncIterator]();
  // The first chunk may be too short for detection.
  let head: Uint8Array = new Uint8Array();
  while (head.length < 4) {
    const item = await input.next();
    if (item.done) break;
    head = head.length === 0 ? item.value : Buffer.concat([head, item.value]);
  }
  const all = async function* () {
    if (head.length > 0) yield head;
    for (let item = await input.next(); !item.done; item = await input.next()) yield item.value;
  };
  const kind = compressionOf(head);
  if (kind === "none") {
    try {
      yield* all();
    } finally {
      void input.return?.();
    }
    return;
  }
  const unzip =
    kind === "gzip" ? createGunzip({ chunkSize: CHUNK }) : createZstdDecompress({ chunkSize: CHUNK });
  const reader = Readable.from(all(), { objectMode: false, highWaterMark: CHUNK });
  // An error of the source must end the other side too; pipe does not do that.
  reader.on("error", (error) => unzip.destroy(error));
  reader.pipe(unzip);
  try {
    yield* unzip as AsyncIterable<Uint8Array>;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (cause instanceof BerthError || (code !== undefined && !/^(Z_|ZSTD|ERR_ZSTD|ERR_ZLIB)/.test(code)))
      throw cause;
    throw new BerthError("data_loss", `${name} is not valid ${kind}: ${(cause as Error).message}`, {
      stage: "decompress",
      cause,
      hint: "the content was damaged or cut short; remove the image and fetch it again",
    });
  } finally {
    reader.destroy();
    unzip.destroy();
    // Not awaited: the source may be waiting for bytes that are no longer wanted.
    void input.return?.();
  }
}

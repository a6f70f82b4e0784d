/** Finds out how bytes are compressed, by what they begin with, and decompresses them as they come. */
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { BerthError } from "@berth/base";

/** Compressions of layers. */
export type Compression = "gzip" | "zstd" | "none";

const CHUNK = 256 << 10;

/** Compression of a stream that begins with `head` (four bytes are enough). */
export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return "zstd";
  return "none";
}

/** Yields the uncompressed bytes; "data_loss" when they are damaged. `name` is what errors call the source. */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<Uint8Array> {
  const input = source[Symbol.asyncIterator]();
  // The first piece may be shorter than what tells the formats apart.
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
  // An error of the source must end the other side too; pipe alone does not do that.
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
    // Not waited for: the source may be waiting for bytes that nobody wants any more.
    void input.return?.();
  }
}

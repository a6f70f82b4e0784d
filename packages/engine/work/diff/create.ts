/** Diff: what turns one snapshot into another, as a layer in the content store. */

import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { createGzip, createZstdCompress } from "node:zlib";
import { CONTAINERD_LABEL } from "@berth/api";
import { BerthError, stage } from "@berth/base";
import { type Descriptor, MEDIA_TYPES } from "@berth/oci";
import type { Labels } from "../../base/core/names.ts";
import type { Scope } from "../../base/core/scope.ts";
import type { Mount } from "../../base/core/wire.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import { makeLayer } from "../layers/make.ts";
import { foldersOf, type MountFolders, stackOf } from "./folders.ts";

/** The mounts to compare, and the layer to write. */
export interface DiffRequest {
  left: readonly Mount[];
  right: readonly Mount[];
  /** "" for a gzip layer of the image specification. */
  mediaType: string;
  ref: string;
  labels: Labels;
  /** Upper bound on file times, in nanoseconds since the epoch. */
  newest: bigint | undefined;
}

/** The layer's bytes. */
async function* difference({ left, right, newest }: DiffRequest): AsyncGenerator<Uint8Array> {
  const before = foldersOf(left, "left");
  const after = foldersOf(right, "right");
  const ready = readyDifference(before, after);
  if (ready !== undefined) yield* makeLayer(ready, newest, after!.overlay);
  else {
    const { compareFolders } = await import("./compare.ts");
    yield* compareFolders(before, after, newest);
  }
}

/**
 * The folder that has the difference already: the upper folder of `right` if `left` are the folders below it, and a
 * whole folder if there is nothing on the left.
 */
function readyDifference(
  left: MountFolders | undefined,
  right: MountFolders | undefined,
): string | undefined {
  if (right?.upper === undefined) return undefined;
  const below = left === undefined ? [] : stackOf(left);
  return below.join(":") === right.lowers.join(":") ? right.upper : undefined;
}

/** Writes the difference as a blob; returns its descriptor. */
export function createDiff(
  content: ContentStore,
  scope: Scope,
  request: DiffRequest,
  signal: AbortSignal,
): Promise<Descriptor> {
  const mediaType = request.mediaType || MEDIA_TYPES.layerGzip;
  return stage("make layer", { mediaType }, async () => {
    const plain = createHash("sha256");
    const source = async function* () {
      for await (const chunk of difference(request)) {
        signal.throwIfAborted();
        plain.update(chunk);
        yield chunk;
      }
    };
    const zip = compressorOf(mediaType);
    const bytes: AsyncIterable<Uint8Array> = zip === undefined ? source() : compress(source(), zip);
    const ref = request.ref || `diff-${Date.now()}-${randomBytes(4).toString("hex")}`;
    const writer = await content.openWriter(scope, { ref });
    try {
      if (writer.offset > 0) await writer.restart();
      for await (const chunk of bytes) writer.write(chunk);
      const size = writer.offset;
      const { digest } = writer;
      const labels = { ...request.labels, [CONTAINERD_LABEL.uncompressed]: `sha256:${plain.digest("hex")}` };
      try {
        await writer.commit(size, digest, labels);
      } catch (error) {
        if (!(error instanceof BerthError) || error.code !== "already_exists") throw error;
        content.updateLabels(scope.namespace, digest, (current) => ({ ...current, ...labels }));
      }
      return { mediaType, digest, size };
    } catch (error) {
      writer.close();
      content.discard(scope, ref);
      throw error;
    } finally {
      writer.close();
    }
  });
}

function compressorOf(mediaType: string): NodeJS.ReadWriteStream | undefined {
  if (/[+.]gzip$/.test(mediaType)) return createGzip({ level: 6 });
  if (/[+.]zstd$/.test(mediaType)) return createZstdCompress();
  if (/\.tar$/.test(mediaType)) return undefined;
  throw new BerthError("unimplemented", `unsupported diff media type: ${mediaType}: not implemented`);
}

async function* compress(
  source: AsyncIterable<Uint8Array>,
  zip: NodeJS.ReadWriteStream,
): AsyncGenerator<Uint8Array> {
  const reader = Readable.from(source, { objectMode: false });
  reader.on("error", (error) => (zip as unknown as Readable).destroy(error));
  reader.pipe(zip);
  try {
    yield* zip as unknown as AsyncIterable<Uint8Array>;
  } finally {
    reader.destroy();
  }
}

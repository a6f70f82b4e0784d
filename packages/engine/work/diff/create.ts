/** Diff: the changes of a snapshot against its parent, as a layer in the content store. */

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

/**
 * The folder with the difference. Overlayfs has it already: the upper folder of `right`, if `left` are the folders
 * below it.
 */
function differenceFolder(left: readonly Mount[], right: readonly Mount[]): string {
  const refuse = (why: string) =>
    new BerthError("unimplemented", `diff Diff is supported for an overlay and its parent only: ${why}`, {
      stage: "diff",
    });
  const [top, ...more] = right;
  if (top === undefined || more.length > 0) throw refuse(`${right.length} mounts were given on the right`);
  const below = lowerFolders(left);
  if (top.type === "bind") {
    if (below.length > 0) throw refuse("the right side is no overlay");
    return top.source;
  }
  const upper = option(top, "upperdir");
  if (top.type !== "overlay" || upper === undefined) throw refuse("the right side has no upper folder");
  if (lowerFolders(right).join(":") !== below.join(":"))
    throw refuse("the left side is not the right side's parent");
  return upper;
}

function option(mount: Mount, name: string): string | undefined {
  return mount.options.find((o) => o.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** The read-only folders of mounts, topmost first. */
function lowerFolders(mounts: readonly Mount[]): string[] {
  const [mount] = mounts;
  if (mount === undefined) return [];
  if (mount.type === "bind") return [mount.source];
  return option(mount, "lowerdir")?.split(":") ?? [];
}

/** Writes the difference as a blob; returns its descriptor. */
export function createDiff(
  content: ContentStore,
  scope: Scope,
  request: DiffRequest,
  signal: AbortSignal,
): Promise<Descriptor> {
  const mediaType = request.mediaType || MEDIA_TYPES.layerGzip;
  const folder = differenceFolder(request.left, request.right);
  return stage("make layer", { mediaType }, async () => {
    const plain = createHash("sha256");
    const source = async function* () {
      for await (const chunk of makeLayer(folder, request.newest)) {
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

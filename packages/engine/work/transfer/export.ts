/** ImageStore -> ImageExportStream: images become an OCI archive that docker can read, too. */
import type { transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import { MEDIA_TYPES } from "@berth/oci";
import type { ImageRecord } from "../../objects/images/rows.ts";
import { TAR_END, tarHeader, tarPadding } from "../layers/tar-writer.ts";
import { ArchiveContents, pathOf } from "./archive-contents.ts";
import { sendBytes } from "./bytes.ts";
import type { TransferJob } from "./parts.ts";

/** Sends the images that `source` names over the stream of `destination`. */
export async function exportArchive(
  job: TransferJob,
  source: transferTypes.ImageStore,
  destination: transferTypes.ImageExportStream,
): Promise<void> {
  const { parts, scope, progress } = job;
  if (
    destination.mediaType !== "" &&
    destination.mediaType !== "application/x-tar" &&
    !/oci.*tar/.test(destination.mediaType)
  )
    throw new BerthError(
      "unimplemented",
      `export as ${destination.mediaType} is not supported, only as a tar archive`,
    );
  if (source.extraReferences.some(({ isPrefix }) => isPrefix))
    throw new BerthError(
      "unimplemented",
      "extra_references: found a prefix, expected whole names: prefix lookup on export: not implemented",
    );
  const names = [source.name, ...source.extraReferences.map((ref) => ref.name)].filter((name) => name !== "");
  if (names.length === 0)
    throw new BerthError("invalid_argument", "no image was named to export: invalid argument");
  const images = names.map((name) => parts.images.get(scope.namespace, name));
  const stream = parts.streams.get(scope.namespace, destination.stream);
  progress.step("Exporting", "");
  await sendBytes(stream, writeArchive(job, images, destination));
  stream.close();
  progress.step("Completed export", "");
}

/** Yields the archive. */
async function* writeArchive(
  job: TransferJob,
  images: readonly ImageRecord[],
  options: transferTypes.ImageExportStream,
): AsyncGenerator<Uint8Array> {
  const { content } = job.parts;
  const ns = job.scope.namespace;
  const contents = new ArchiveContents(content, ns, options);
  for (const image of images) contents.add(image);
  const small = (name: string, text: string) => {
    const bytes = Buffer.from(text);
    return Buffer.concat([tarHeader({ name, size: bytes.length }), bytes, tarPadding(bytes.length)]);
  };
  yield small("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const algorithms = [...new Set(contents.blobs.map(({ digest }) => digest.split(":")[0]!))];
  const folders = ["blobs/", ...algorithms.map((name) => `blobs/${name}/`)];
  yield Buffer.concat(folders.map((name) => tarHeader({ name, type: "5", mode: 0o755, size: 0 })));
  for (const { digest, size } of contents.blobs) {
    yield tarHeader({ name: pathOf(digest), mode: 0o444, size });
    yield* content.readChecked(ns, digest);
    yield tarPadding(size);
  }
  const { index: mediaType } = MEDIA_TYPES;
  yield small("index.json", JSON.stringify({ schemaVersion: 2, mediaType, manifests: contents.entries }));
  if (contents.docker.length > 0) yield small("manifest.json", JSON.stringify(contents.docker));
  yield TAR_END;
}

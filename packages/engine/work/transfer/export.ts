/** ImageStore -> ImageExportStream: images become an OCI archive that docker can read, too. */
import type { transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Descriptor, isIndex, MEDIA_TYPES, parseReference } from "@berth/oci";
import { hostPlatform } from "../../base/core/platform.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { ImageRecord } from "../../objects/images/rows.ts";
import { TAR_END, tarHeader, tarPadding } from "../layers/tar-writer.ts";
import { sendBytes } from "./bytes.ts";
import * as manifests from "./manifests.ts";
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
  const names = [source.name, ...source.extraReferences.map((ref) => ref.name)].filter((name) => name !== "");
  if (names.length === 0)
    throw new BerthError("invalid_argument", "no image was named to export: invalid argument");
  const images = names.map((name) => parts.images.get(scope.namespace, name));
  const stream = parts.streams.get(scope.namespace, destination.stream);
  progress.step("Exporting", names.join(", "));
  await sendBytes(stream, writeArchive(job, images, destination));
  stream.close();
  progress.step("Completed export", names.join(", "));
}

/** Yields the archive. */
async function* writeArchive(
  job: TransferJob,
  images: readonly ImageRecord[],
  options: transferTypes.ImageExportStream,
): AsyncGenerator<Uint8Array> {
  const { content } = job.parts;
  const ns = job.scope.namespace;
  const platforms = options.allPlatforms
    ? []
    : options.platforms.length > 0
      ? options.platforms
      : [hostPlatform()];
  const blobs = new Map<string, Descriptor>();
  const index: object[] = [];
  const docker: object[] = [];
  for (const image of images) {
    const root = exportRoot(content, ns, image.target, platforms);
    collect(content, ns, root, blobs);
    const { tag } = parseReference(image.name);
    index.push({
      ...root,
      annotations: {
        ...root.annotations,
        "io.containerd.image.name": image.name,
        ...(tag ? { "org.opencontainers.image.ref.name": tag } : {}),
      },
    });
    const [first] = manifests.manifestsOf(content, ns, root, platforms);
    if (first !== undefined && !options.skipCompatibilityManifest)
      docker.push({
        Config: pathOf(first.manifest.config.digest),
        RepoTags: [image.name.replace(/^docker\.io\/(library\/)?/, "")],
        Layers: first.manifest.layers.map((layer) => pathOf(layer.digest)),
      });
  }
  const small = (name: string, text: string) => {
    const bytes = Buffer.from(text);
    return Buffer.concat([tarHeader({ name, size: bytes.length }), bytes, tarPadding(bytes.length)]);
  };
  yield small("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  yield Buffer.concat(
    ["blobs/", "blobs/sha256/"].map((name) => tarHeader({ name, type: "5", mode: 0o755, size: 0 })),
  );
  for (const { digest, size } of blobs.values()) {
    yield tarHeader({ name: pathOf(digest), mode: 0o444, size });
    yield* content.readChecked(ns, digest);
    yield tarPadding(size);
  }
  yield small(
    "index.json",
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: index,
    }),
  );
  if (docker.length > 0) yield small("manifest.json", JSON.stringify(docker));
  yield TAR_END;
}

function pathOf(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** The part of an image to export: all of it if it is complete, else its manifest for the platform. */
function exportRoot(
  content: ContentStore,
  ns: string,
  target: Descriptor,
  platforms: Parameters<typeof manifests.manifestsOf>[3],
): Descriptor {
  const parsed = manifests.readManifest(content, ns, target.digest);
  if (!isIndex(parsed)) return target;
  const complete = parsed.manifests.every((entry) => content.find(ns, entry.digest) !== undefined);
  if (complete && (platforms.length === 0 || parsed.manifests.length === 1)) return target;
  const [first] = manifests.manifestsOf(content, ns, target, platforms);
  if (first === undefined)
    throw new BerthError(
      "not_found",
      `nothing of image ${target.digest} for this platform is in the store: not found`,
      {
        hint: "pull it for this platform first",
      },
    );
  return first.descriptor;
}

function collect(content: ContentStore, ns: string, target: Descriptor, into: Map<string, Descriptor>): void {
  if (into.has(target.digest)) return;
  const parsed = manifests.readManifest(content, ns, target.digest);
  into.set(target.digest, target);
  if (isIndex(parsed))
    for (const { platform: _, ...entry } of parsed.manifests) collect(content, ns, entry, into);
  else
    for (const blob of [parsed.config, ...parsed.layers]) {
      content.info(ns, blob.digest);
      into.set(blob.digest, blob);
    }
}

/** Docker's layout of an archive: manifest.json names configs, layers and tags; manifests and the index are made of it. */
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { CONTAINERD_LABEL } from "@berth/api";
import { BerthError, isCode, present } from "@berth/base";
import { type Descriptor, formatReference, type Index, MEDIA_TYPES, parseReference } from "@berth/oci";
import { digestOf } from "../../base/core/digest.ts";
import { compressionOf } from "../layers/decompress.ts";
import type { ArchiveIndex, StoredFile } from "./archive.ts";
import * as manifests from "./manifests.ts";
import { FULL_NAME, REF_NAME } from "./names.ts";
import type { TransferJob } from "./parts.ts";

const { dockerLayer, dockerConfig, dockerManifest } = MEDIA_TYPES;

/** Makes the index of manifest.json (`json`); with `compress`, uncompressed layers are compressed. */
export async function readDocker(
  job: TransferJob,
  json: Buffer,
  file: (path: string) => StoredFile,
  compress: boolean,
): Promise<ArchiveIndex> {
  const entries: Descriptor[] = [];
  for (const [i, entry] of parseDockerManifest(json).entries()) {
    const descriptor = await storeImage(job, entry, file, compress);
    const tags = entry.RepoTags ?? [];
    if (tags.length === 0) entries.push(descriptor);
    for (const tag of tags) entries.push({ ...descriptor, annotations: nameAnnotations(tag, i) });
  }
  const index: Index = { schemaVersion: 2, manifests: entries };
  return { index, bytes: Buffer.from(JSON.stringify(index)) };
}

/** Makes a manifest of an entry of manifest.json. */
async function storeImage(
  job: TransferJob,
  entry: DockerEntry,
  file: (path: string) => StoredFile,
  compress: boolean,
): Promise<Descriptor> {
  const { content } = job.parts;
  const stored = file(entry.Config);
  const layers: Descriptor[] = [];
  for (const path of entry.Layers) layers.push(await layerOf(job, file(path), compress));
  const config = { mediaType: dockerConfig, digest: stored.digest, size: stored.size };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: dockerManifest, config, layers }));
  const digest = digestOf(bytes);
  await content.put(job.scope, digest, bytes);
  const { os, architecture, variant } = manifests.readConfig(content, job.scope.namespace, stored.digest);
  const platform = os && architecture ? { os, architecture, ...present({ variant }) } : undefined;
  return { mediaType: dockerManifest, digest, size: bytes.length, ...present({ platform }) };
}

/** A layer as it is; an uncompressed one as a compressed blob that is there already, or compressed now. */
async function layerOf(
  job: TransferJob,
  { digest, size, head }: StoredFile,
  compress: boolean,
): Promise<Descriptor> {
  const kind = compressionOf(head);
  if (kind !== "none") return { mediaType: `${dockerLayer}.${kind}`, digest, size };
  const found = await compressedForm(job, digest);
  return found ?? (compress ? compressLayer(job, digest) : { mediaType: dockerLayer, digest, size });
}

/** The blob of which the namespace knows that it is this layer, compressed. */
async function compressedForm(
  { parts, scope }: TransferJob,
  digest: string,
): Promise<Descriptor | undefined> {
  const { content } = parts;
  const found = content
    .list(scope.namespace)
    .find((blob) => blob.labels[CONTAINERD_LABEL.uncompressed] === digest && blob.digest !== digest);
  if (found === undefined) return undefined;
  for await (const head of content.read(scope.namespace, found.digest, 0, 8)) {
    const kind = compressionOf(head);
    if (kind === "none" || !content.hold(scope, found.digest)) break;
    return { mediaType: `${dockerLayer}.${kind}`, digest: found.digest, size: found.size };
  }
  return undefined;
}

async function compressLayer({ parts, scope }: TransferJob, digest: string): Promise<Descriptor> {
  const { content } = parts;
  const writer = await content.openWriter(scope, { ref: `compress-${digest}` });
  try {
    if (writer.offset > 0) await writer.restart();
    const compressed = Readable.from(content.read(scope.namespace, digest)).pipe(createGzip());
    for await (const chunk of compressed) writer.write(chunk as Buffer);
    const layer = { mediaType: `${dockerLayer}.gzip`, digest: writer.digest, size: writer.offset };
    await writer
      .commit(layer.size, layer.digest, { [CONTAINERD_LABEL.uncompressed]: digest })
      .catch((error) => {
        if (!isCode(error, "already_exists")) throw error;
        content.hold(scope, layer.digest);
      });
    return layer;
  } finally {
    writer.close();
  }
}

/** An image in Docker's manifest.json. */
interface DockerEntry {
  Config: string;
  RepoTags: string[] | null;
  Layers: string[];
}

function parseDockerManifest(bytes: Buffer): DockerEntry[] {
  const refuse = (why: string, cause?: unknown) =>
    new BerthError("invalid_argument", `manifest.json of the archive is not valid: ${why}`, {
      stage: "import",
      cause,
    });
  let entries: DockerEntry[];
  try {
    entries = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw refuse((cause as Error).message, cause);
  }
  if (!Array.isArray(entries)) throw refuse("it is no list");
  const isText = (value: unknown) => typeof value === "string";
  for (const [i, entry] of entries.entries()) {
    if (!isText(entry?.Config) || !Array.isArray(entry.Layers) || !entry.Layers.every(isText))
      throw refuse(`[${i}] needs Config, a path, and Layers, a list of paths`);
    if (entry.RepoTags && !(Array.isArray(entry.RepoTags) && entry.RepoTags.every(isText)))
      throw refuse(`[${i}].RepoTags is ${JSON.stringify(entry.RepoTags)}, expected a list of names`);
  }
  return entries;
}

/** Docker's names are short: they are stored in full. */
function nameAnnotations(name: string, index: number): Record<string, string> {
  let reference: ReturnType<typeof parseReference>;
  try {
    reference = parseReference(name);
  } catch (cause) {
    throw new BerthError(
      "invalid_argument",
      `manifest.json[${index}].RepoTags: ${(cause as Error).message}`,
      {
        stage: "import",
        cause,
      },
    );
  }
  const full = formatReference(reference);
  return { [FULL_NAME]: full, [REF_NAME]: reference.tag ?? full };
}

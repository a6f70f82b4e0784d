/** ImageImportStream -> ImageStore: an archive becomes images. */
import type { transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import { hostPlatform } from "../../base/core/platform.ts";
import type { Descriptor } from "../../objects/images/rows.ts";
import { formatReference, parseReference } from "../registry/reference.ts";
import { type ArchivedImage, readArchive } from "./archive.ts";
import { receiveBytes } from "./bytes.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";
import { Unpacker } from "./unpack.ts";

/** Reads the archive of `source` and names its images as `destination` says. */
export async function importArchive(
  job: TransferJob,
  source: transferTypes.ImageImportStream,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts, scope, progress } = job;
  if (source.forceCompress)
    throw new BerthError("unimplemented", "force_compress is not supported: layers stay as they are");
  progress.step("Importing", source.stream);
  const stream = parts.streams.get(scope.namespace, source.stream);
  const images = await readArchive(job, receiveBytes(stream));
  if (images.length === 0)
    throw new BerthError("invalid_argument", "the archive holds no image: invalid argument", {
      stage: "import",
    });
  const named = images.map((image) => ({ image, names: namesFor(image, destination, images.length) }));
  for (const target of new Map(images.map((i) => [i.descriptor.digest, i.descriptor])).values())
    await adopt(job, target, destination);
  for (const { image, names } of named) {
    if (names.length === 0)
      throw new BerthError("invalid_argument", "an image of the archive has no name: invalid argument", {
        hint: "give a name for it",
      });
    for (const name of names) {
      parts.images.put(scope.namespace, { name, target: image.descriptor, labels: destination.labels });
      progress.step("saved", name, { desc: image.descriptor });
    }
  }
  progress.step("Completed import", source.stream);
}

/** The names an archived image gets: its own, else what the request says. */
function namesFor(
  { name, tag, descriptor }: ArchivedImage,
  destination: transferTypes.ImageStore,
  count: number,
): string[] {
  if (name !== undefined) return [formatReference(parseReference(name))];
  const prefix = destination.extraReferences.find((ref) => ref.isPrefix && ref.name !== "");
  if (prefix !== undefined) {
    const out: string[] = [];
    if (tag !== undefined) out.push(`${prefix.name}:${tag}`);
    if (prefix.addDigest && !(tag !== undefined && prefix.skipNamedDigest))
      out.push(`${prefix.name}@${descriptor.digest}`);
    if (out.length > 0) return out;
  }
  const plain = destination.extraReferences.filter((ref) => !ref.isPrefix).map((ref) => ref.name);
  if (count === 1 && plain.length > 0) return plain;
  if (destination.name === "") return [];
  return [count === 1 ? destination.name : `${destination.name}@${descriptor.digest}`];
}

/** Checks that everything an image refers to is there, labels it, and unpacks it. */
async function adopt(
  job: TransferJob,
  target: Descriptor,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts, scope, progress } = job;
  const { namespace } = scope;
  const parsed = manifests.parseManifest(parts.content.readAll(namespace, target.digest), target.digest);
  if (parsed.kind === "index") {
    // Archives may hold one platform of an index that names many.
    const present = parsed.manifests.filter(
      (entry) => parts.content.find(namespace, entry.digest) !== undefined,
    );
    if (present.length === 0) throw missing(target.digest, parsed.manifests[0]?.digest ?? "anything");
    label(job, target, manifests.childLabels(parsed, present));
    for (const { platform: _, ...entry } of present) await adopt(job, entry, destination);
    return;
  }
  for (const blob of [parsed.config, ...parsed.layers])
    if (parts.content.find(namespace, blob.digest) === undefined) throw missing(target.digest, blob.digest);
  label(job, target, manifests.childLabels(parsed));
  if (
    destination.unpacks.length === 0 ||
    !parsed.layers.every((layer) => /layer|diff\.tar/.test(layer.mediaType))
  )
    return;
  const config = manifests.parseConfig(
    parts.content.readAll(namespace, parsed.config.digest),
    parsed.config.digest,
  );
  const { architecture } = hostPlatform();
  if (config.architecture !== undefined && config.architecture !== architecture) return;
  for (const wanted of destination.unpacks) {
    const snapshotter = wanted.snapshotter || parts.snapshots.defaultName;
    const unpacker = new Unpacker(parts, scope, {
      snapshotter,
      layers: parsed.layers,
      diffIds: config.rootfs.diff_ids,
      progress,
    });
    try {
      const top = await unpacker.finish();
      if (top !== "") label(job, parsed.config, { [`containerd.io/gc.ref.snapshot.${snapshotter}`]: top });
    } finally {
      await unpacker.abandon();
    }
  }
}

function label(job: TransferJob, blob: Descriptor, labels: { [key: string]: string }): void {
  job.parts.content.updateLabels(job.scope.namespace, blob.digest, (current) => ({ ...current, ...labels }));
}

function missing(image: string, digest: string): BerthError {
  return new BerthError(
    "invalid_argument",
    `the archive's image ${image} refers to ${digest}, which is not in it: invalid argument`,
    {
      stage: "import",
      hint: "the archive is incomplete; save the image again",
    },
  );
}

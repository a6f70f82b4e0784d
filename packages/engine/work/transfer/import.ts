/** ImageImportStream -> ImageStore: an archive becomes images. */
import type { transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import { normalizeReference } from "@berth/oci";
import { adopt } from "./adopt.ts";
import { type ArchivedImage, readArchive } from "./archive.ts";
import { receiveBytes } from "./bytes.ts";
import type { TransferJob } from "./parts.ts";

/** Reads the archive of `source` and names its images as `destination` requests. */
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

/** The names of an archived image: its own, else those of the request. */
function namesFor(
  { name, tag, descriptor }: ArchivedImage,
  destination: transferTypes.ImageStore,
  count: number,
): string[] {
  if (name !== undefined) return [normalizeReference(name)];
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

/** Images whose content is in the store: labels references for garbage collection, and unpacks layers. */
import type { transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Descriptor, isIndex } from "@berth/oci";
import { choiceOf, take } from "./choice.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";
import { unpackInto, unpacksOf } from "./unpack-image.ts";

/**
 * Checks that what `destination` takes of an image exists, labels it, and unpacks it if that is asked for. Of an image
 * that is not taken `whole`, only the manifest and the config count.
 */
export async function adopt(
  job: TransferJob,
  target: Descriptor,
  destination: transferTypes.ImageStore,
  whole = true,
): Promise<void> {
  const { content } = job.parts;
  const { namespace } = job.scope;
  const has = ({ digest }: Descriptor) => content.find(namespace, digest) !== undefined;
  if (!has(target)) throw missing(target.digest, target.digest);
  const parsed = manifests.readManifest(content, namespace, target.digest);
  const labels = manifests.childLabels(parsed);
  if (isIndex(parsed)) {
    // Archives may hold one platform of an index that names many.
    const present = take(parsed.manifests, choiceOf(destination)).filter(({ entry }) => has(entry));
    if (present.length === 0) throw missing(target.digest, parsed.manifests[0]?.digest ?? "anything");
    label(job, target, labels);
    for (const { entry, whole: all } of present) await adopt(job, entry, destination, whole && all);
    return;
  }
  const needed = whole ? manifests.childrenOf(parsed) : [parsed.config];
  const lost = needed.find((blob) => !has(blob));
  if (lost !== undefined) throw missing(target.digest, lost.digest);
  label(job, target, labels);
  if (!whole) return;
  for (const unpack of unpacksOf(job, parsed, target.platform, destination))
    try {
      await unpackInto(job, parsed, unpack);
    } finally {
      await unpack.unpacker.abandon();
    }
}

function label(job: TransferJob, blob: Descriptor, labels: { [key: string]: string }): void {
  job.parts.content.updateLabels(job.scope.namespace, blob.digest, (current) => ({ ...current, ...labels }));
}

function missing(image: string, digest: string): BerthError {
  return new BerthError(
    "invalid_argument",
    `image ${image} refers to ${digest}, which is not there: invalid argument`,
    {
      stage: "image",
      hint: "it is incomplete: pull it, or save it again",
    },
  );
}

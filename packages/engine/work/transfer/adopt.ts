/** Images whose content is in the store: labels references for garbage collection, and unpacks layers. */
import { CONTAINERD_LABEL, type transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Descriptor, isIndex, platformMatches } from "@berth/oci";
import { hostPlatform } from "../../base/core/platform.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";
import { Unpacker } from "./unpack.ts";

/** Checks that an image's references exist, labels them, and unpacks the image if `destination` asks for that. */
export async function adopt(
  job: TransferJob,
  target: Descriptor,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts, scope, progress } = job;
  const { namespace } = scope;
  const parsed = manifests.readManifest(parts.content, namespace, target.digest);
  if (isIndex(parsed)) {
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
  const config = manifests.readConfig(parts.content, namespace, parsed.config.digest);
  // An image for another platform can be stored, but its layers cannot be used here.
  if (!platformMatches(hostPlatform(), config.architecture ? config : undefined)) return;
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
      if (top !== "") label(job, parsed.config, { [`${CONTAINERD_LABEL.gcRefSnapshot}${snapshotter}`]: top });
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
    `image ${image} refers to ${digest}, which is not there: invalid argument`,
    {
      stage: "image",
      hint: "it is incomplete: pull it, or save it again",
    },
  );
}

/** Unpacking of an image's layers, for the platforms and into the snapshotters that a transfer asks for. */
import { CONTAINERD_LABEL, type transferTypes } from "@berth/api";
import { type Manifest, type Platform, platformMatches } from "@berth/oci";
import { hostPlatform } from "../../base/core/platform.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";
import { Unpacker } from "./unpack.ts";

/** An image that is to be unpacked; call {@link unpackInto}, and {@link Unpacker.abandon} at last. */
export interface Unpack {
  snapshotter: string;
  unpacker: Unpacker;
}

/** What is to be unpacked of an image, whose config is in the store; `platform` is that of its index, if it is in one. */
export function unpacksOf(
  { parts, scope, progress }: TransferJob,
  manifest: Manifest,
  platform: Platform | undefined,
  { unpacks }: Pick<transferTypes.ImageStore, "unpacks">,
): readonly Unpack[] {
  if (unpacks.length === 0 || !manifests.isUnpackable(manifest)) return [];
  const config = manifests.readConfig(parts.content, scope.namespace, manifest.config.digest);
  const offered = platform ?? (config.architecture ? config : undefined);
  return unpacks
    .filter(({ platform: wanted }) => platformMatches(wanted ?? hostPlatform(), offered))
    .map(({ snapshotter: wanted }) => {
      const snapshotter = wanted || parts.snapshots.defaultName;
      const { layers } = manifest;
      const diffIds = config.rootfs.diff_ids;
      return {
        snapshotter,
        unpacker: new Unpacker(parts, scope, { snapshotter, layers, diffIds, progress }),
      };
    });
}

/** Unpacks the rest of the layers, and has the config keep the snapshot. */
export async function unpackInto(
  { parts, scope }: TransferJob,
  { config }: Manifest,
  { snapshotter, unpacker }: Unpack,
): Promise<void> {
  const top = await unpacker.finish();
  if (top === "") return;
  const label = { [`${CONTAINERD_LABEL.gcRefSnapshot}${snapshotter}`]: top };
  parts.content.updateLabels(scope.namespace, config.digest, (labels) => ({ ...labels, ...label }));
}

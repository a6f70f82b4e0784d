/** ImageImportStream -> ImageStore: an archive becomes images. */
import type { transferTypes } from "@berth/api";
import { BerthError, log } from "@berth/base";
import { MEDIA_TYPES } from "@berth/oci";
import { digestOf } from "../../base/core/digest.ts";
import { adopt } from "./adopt.ts";
import { readArchive } from "./archive.ts";
import { receiveBytes } from "./bytes.ts";
import { choiceOf, platformText, take } from "./choice.ts";
import * as manifests from "./manifests.ts";
import { archivedNamesOf, namesOf, storeNames } from "./names.ts";
import type { TransferJob } from "./parts.ts";

/** Reads the archive of `source` and names its images, and its index, as `destination` requests. */
export async function importArchive(
  job: TransferJob,
  source: transferTypes.ImageImportStream,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts, scope, progress } = job;
  progress.step("Importing", "");
  const stream = parts.streams.get(scope.namespace, source.stream);
  const { index, bytes } = await readArchive(job, receiveBytes(stream), source.forceCompress);
  if (index.manifests.length === 0)
    throw new BerthError("invalid_argument", "the archive holds no image: invalid argument", {
      stage: "import",
    });
  const choice = choiceOf(destination);
  const taken = take(index.manifests, choice);
  if (!taken.some(({ whole }) => whole)) {
    const offered = index.manifests.flatMap(({ platform }) => (platform ? [platformText(platform)] : []));
    throw new BerthError(
      "not_found",
      `the archive holds no image for ${choice.platforms.map(platformText).join(", ")}: not found`,
      { stage: "import", hint: `it is for ${[...new Set(offered)].join(", ")}: name that, or all platforms` },
    );
  }
  const target = { mediaType: MEDIA_TYPES.index, digest: digestOf(bytes), size: bytes.length };
  const ofIndex = namesOf(target, destination);
  // Without a name it would be garbage at once.
  if (ofIndex.length > 0) await parts.content.put(scope, target.digest, bytes, manifests.childLabels(index));
  for (const { entry, whole } of taken) await adopt(job, entry, destination, whole);
  const names = [
    ...ofIndex,
    ...taken.flatMap(({ entry: { platform: _, ...entry } }) => archivedNamesOf(entry, destination)),
  ];
  // As in containerd, that is no error: an archive may hold what nobody wants.
  if (names.length === 0)
    log.info("no image of an archive has a name that was asked for", { namespace: scope.namespace });
  storeNames(job, names);
  progress.step("Completed import", "");
}

/** ImageStore -> ImageStore: gives an image another name, or (under its own name) unpacks its layers. */
import type { transferTypes } from "@berth/api";
import { adopt } from "./adopt.ts";
import { namesOf, storeNames, unnamed } from "./names.ts";
import type { TransferJob } from "./parts.ts";

/** Names the image of `source` as `destination` requests, and unpacks it if that asks for it. */
export async function tag(
  job: TransferJob,
  source: transferTypes.ImageStore,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { target, labels } = job.parts.images.get(job.scope.namespace, source.name);
  if (destination.unpacks.length > 0) await adopt(job, target, destination);
  const kept = destination.name === source.name ? labels : {};
  const names = namesOf(target, { ...destination, labels: { ...kept, ...destination.labels } });
  if (names.length === 0) throw unnamed();
  storeNames(job, names);
}

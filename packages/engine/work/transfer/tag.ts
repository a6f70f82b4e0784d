/** ImageStore -> ImageStore: gives an image another name, or (under its own name) unpacks its layers. */
import type { transferTypes } from "@berth/api";
import { adopt } from "./adopt.ts";
import type { TransferJob } from "./parts.ts";

/** Names the image of `source` as `destination` requests, and unpacks it if that asks for it. */
export async function tag(
  job: TransferJob,
  source: transferTypes.ImageStore,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts, scope, progress } = job;
  const { target, labels } = parts.images.get(scope.namespace, source.name);
  if (destination.unpacks.length > 0) await adopt(job, target, destination);
  if (destination.name !== source.name || Object.keys(destination.labels).length > 0)
    parts.images.put(scope.namespace, {
      name: destination.name,
      target,
      labels: { ...labels, ...destination.labels },
    });
  progress.step("saved", destination.name, { desc: target });
}

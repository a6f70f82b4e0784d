/** ImageStore -> OCIRegistry. */
import { CONTAINERD_LABEL, type transferTypes } from "@berth/api";
import { BerthError, stage } from "@berth/base";
import { type Descriptor, isIndex, parseManifest } from "@berth/oci";
import type { Repository } from "../registry/repository.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";
import { openRepository } from "./resolver.ts";

/** Pushes the image named by `source`. */
export async function push(
  job: TransferJob,
  source: transferTypes.ImageStore,
  destination: transferTypes.OCIRegistry,
): Promise<void> {
  const { parts, scope, progress } = job;
  const image = parts.images.get(scope.namespace, source.name);
  const repository = await openRepository(job, destination);
  repository.allowPush();
  const { tag, digest } = repository.reference;
  if (digest !== undefined && tag === undefined && digest !== image.target.digest)
    throw new BerthError(
      "invalid_argument",
      `${destination.reference} is not the digest of ${source.name}: invalid argument`,
    );
  progress.step("pushing content", destination.reference, { desc: image.target });
  const target = smallestComplete(job, image.target, source);
  await pushTree(job, repository, target, tag);
  progress.step("pushed content", destination.reference, { desc: target });
}

/** The image's target, or the platform's manifest if the rest of an index is not in the store. */
function smallestComplete(
  job: TransferJob,
  target: Descriptor,
  source: transferTypes.ImageStore,
): Descriptor {
  const { content } = job.parts;
  const { namespace } = job.scope;
  const parsed = manifests.readManifest(content, namespace, target.digest);
  if (!isIndex(parsed)) return target;
  if (parsed.manifests.every((entry) => content.find(namespace, entry.digest) !== undefined)) return target;
  const [first, ...more] = manifests.manifestsOf(content, namespace, target, source.platforms);
  if (first === undefined || more.length > 0)
    throw new BerthError(
      "failed_precondition",
      "the image is an index of which only a part is in the store: failed precondition",
      {
        hint: "push one platform, or pull all of them first",
      },
    );
  return first.descriptor;
}

async function pushTree(
  job: TransferJob,
  repository: Repository,
  target: Descriptor,
  tag?: string,
): Promise<void> {
  const { content } = job.parts;
  const bytes = content.readAll(job.scope.namespace, target.digest);
  const parsed = parseManifest(manifests.textOf(bytes), target.digest);
  if (isIndex(parsed))
    for (const { platform: _, ...entry } of parsed.manifests) await pushTree(job, repository, entry);
  else await Promise.all([parsed.config, ...parsed.layers].map((blob) => pushBlob(job, repository, blob)));
  await repository.pushManifest(target, bytes, tag);
  job.progress.step("complete", manifests.refOf(target), { desc: target, progress: target.size });
}

function pushBlob(job: TransferJob, repository: Repository, blob: Descriptor): Promise<void> {
  const { parts, scope, progress } = job;
  const name = manifests.refOf(blob);
  return stage("push", { digest: blob.digest, size: blob.size }, async () => {
    progress.step("waiting", name, { desc: blob });
    if (await repository.hasBlob(blob.digest)) {
      progress.step("already exists", name, { desc: blob, progress: blob.size });
      return;
    }
    const { labels } = parts.content.info(scope.namespace, blob.digest);
    const { host, repository: own } = repository.reference;
    const sources = labels[`${CONTAINERD_LABEL.distributionSource}${host}`]?.split(",") ?? [];
    const read = async function* () {
      let sent = 0;
      for await (const chunk of parts.content.readChecked(scope.namespace, blob.digest)) {
        yield chunk;
        sent += chunk.length;
        progress.bytes("uploading", name, blob, sent);
      }
    };
    await repository.pushBlob(blob, read, sources.includes(own) ? undefined : sources[0]);
    progress.step("complete", name, { desc: blob, progress: blob.size });
  });
}

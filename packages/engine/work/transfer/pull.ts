/** OCIRegistry -> ImageStore: fetches, unpacks while downloading, and names an image. */
import { CONTAINERD_LABEL, type transferTypes } from "@berth/api";
import { BerthError, stage } from "@berth/base";
import {
  type Descriptor,
  type Index,
  isIndex,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
  parseManifest,
} from "@berth/oci";
import { hostPlatform } from "../../base/core/platform.ts";
import type { Repository } from "../registry/repository.ts";
import * as manifests from "./manifests.ts";
import type { TransferJob } from "./parts.ts";
import { openRepository } from "./resolver.ts";
import { Unpacker } from "./unpack.ts";

/** Pulls `source` into the store as `destination` requests. */
export async function pull(
  job: TransferJob,
  source: transferTypes.OCIRegistry,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts, scope, progress } = job;
  const repository = await openRepository(job, source);
  const name = destination.name || source.reference;
  progress.step("resolving", source.reference);
  const target = await stage("resolve", { image: source.reference }, () => repository.resolve());
  progress.step("fetching image content", source.reference, { desc: target });
  if (!isIndexType(target.mediaType) && !isManifestType(target.mediaType))
    throw new BerthError(
      "unimplemented",
      `${source.reference} is of type ${target.mediaType}, which is no image`,
      {
        stage: "registry",
        hint: /json|docker|oci/.test(target.mediaType)
          ? "push it again with a current tool, or name another"
          : "check the registry's address: what answers there may be no registry",
      },
    );
  const platforms = destination.platforms.length > 0 ? destination.platforms : [hostPlatform()];
  await fetchTree(job, repository, target, destination, platforms);
  parts.images.put(scope.namespace, { name, target, labels: destination.labels });
  progress.step("saved", name, { desc: target });
  for (const extra of destination.extraReferences)
    if (!extra.isPrefix && extra.name !== "")
      parts.images.put(scope.namespace, { name: extra.name, target, labels: destination.labels });
}

/** Fetches a manifest or an index, and its references for the platforms. */
async function fetchTree(
  job: TransferJob,
  repository: Repository,
  target: Descriptor,
  destination: transferTypes.ImageStore,
  platforms: readonly Platform[],
): Promise<void> {
  const { parts, scope, progress } = job;
  const { namespace } = scope;
  const known = parts.content.hold(scope, target.digest);
  const bytes = known ? parts.content.readAll(namespace, target.digest) : await repository.manifest(target);
  const parsed = parseManifest(manifests.textOf(bytes), target.digest);
  const entries = isIndex(parsed) ? manifests.chooseEntries(parsed, platforms) : undefined;
  if (entries?.length === 0) {
    const offered = (parsed as Index).manifests.flatMap(({ platform: p }) =>
      p?.os && p.os !== "unknown" ? [`${p.os}/${p.architecture}`] : [],
    );
    const wanted = platforms.map((p) => `${p.os}/${p.architecture}${p.variant ? `/${p.variant}` : ""}`);
    throw new BerthError(
      "not_found",
      `no match for platform ${wanted.join(", ")} in manifest ${target.digest}: not found`,
      {
        stage: "resolve",
        hint: `the image is there for ${[...new Set(offered)].join(", ") || "no platform"}`,
      },
    );
  }
  const labels = { ...manifests.childLabels(parsed, entries), ...sourceLabel(repository) };
  // The labels are stored with the content: the children are protected at all times.
  await parts.content.put(scope, target.digest, bytes, labels);
  progress.step(known ? "already exists" : "complete", manifests.refOf(target), {
    desc: target,
    progress: target.size,
  });
  if (isIndex(parsed)) {
    for (const { platform: _, ...entry } of entries!)
      await fetchTree(job, repository, entry, destination, platforms);
    return;
  }
  await fetchImage(job, repository, parsed, destination);
}

function sourceLabel({ reference }: Repository): { [key: string]: string } {
  return { [`containerd.io/distribution.source.${reference.host}`]: reference.repository };
}

async function fetchImage(
  job: TransferJob,
  repository: Repository,
  manifest: Manifest,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts, scope, progress } = job;
  const { namespace } = scope;
  await fetchBlob(job, repository, manifest.config);
  const unpackers: Unpacker[] = [];
  const isImage = manifest.layers.every((layer) => /layer|diff\.tar/.test(layer.mediaType));
  if (destination.unpacks.length > 0 && isImage) {
    const config = manifests.readConfig(parts.content, namespace, manifest.config.digest);
    for (const { snapshotter } of destination.unpacks)
      unpackers.push(
        new Unpacker(parts, scope, {
          snapshotter: snapshotter || parts.snapshots.defaultName,
          layers: manifest.layers,
          diffIds: config.rootfs.diff_ids,
          progress,
        }),
      );
  }
  try {
    await eachLimited(manifest.layers, parts.downloads, (layer, index) =>
      fetchBlob(job, repository, layer, (file) => unpackers.map((unpacker) => unpacker.growing(index, file))),
    );
    for (const [i, unpacker] of unpackers.entries()) {
      const top = await unpacker.finish();
      const snapshotter = destination.unpacks[i]!.snapshotter || parts.snapshots.defaultName;
      if (top !== "")
        parts.content.updateLabels(namespace, manifest.config.digest, (labels) => ({
          ...labels,
          [`${CONTAINERD_LABEL.gcRefSnapshot}${snapshotter}`]: top,
        }));
    }
  } finally {
    for (const unpacker of unpackers) await unpacker.abandon();
  }
}

/** Fetches one blob; `onFile` is called with a growing file, and returns callbacks for its size. */
async function fetchBlob(
  job: TransferJob,
  repository: Repository,
  blob: Descriptor,
  onFile?: (file: string) => ((available: number) => void)[],
): Promise<void> {
  const { parts, scope, progress } = job;
  const name = manifests.refOf(blob);
  let listeners: ((available: number) => void)[] = [];
  let available = 0;
  progress.step("waiting", name, { desc: blob });
  const how = await parts.fetcher.fetch(scope, repository, blob, {
    ref: name,
    labels: sourceLabel(repository),
    onBytes: (now) => {
      available = now;
      for (const listener of listeners) listener(now);
      progress.bytes("downloading", name, blob, now);
    },
    onFile: (file) => {
      listeners = onFile?.(file) ?? [];
      for (const listener of listeners) listener(available);
    },
  });
  progress.step(how === "exists" ? "already exists" : "complete", name, { desc: blob, progress: blob.size });
}

/** Runs `work` for each item, at most `limit` concurrently; the first failure ends it. */
async function eachLimited<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const run = async () => {
    while (next < items.length && !failed) {
      const index = next++;
      try {
        await work(items[index]!, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, run));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

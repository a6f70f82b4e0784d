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
import type { Repository } from "../registry/repository.ts";
import { type Choice, choiceOf, platformText, type Taken, take } from "./choice.ts";
import * as manifests from "./manifests.ts";
import { namesOf, storeNames, unnamed } from "./names.ts";
import type { TransferJob } from "./parts.ts";
import { openRepository } from "./resolver.ts";
import { unpackInto, unpacksOf } from "./unpack-image.ts";
import { verify } from "./verify.ts";

/** Pulls `source` into the store as `destination` requests. */
export async function pull(
  job: TransferJob,
  source: transferTypes.OCIRegistry,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { progress } = job;
  const repository = await openRepository(job, source);
  const name = destination.name || (destination.extraReferences.length > 0 ? "" : source.reference);
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
  await stage("verify", { image: source.reference }, () =>
    verify(job.parts.verifiers, source.reference, target, job.signal),
  );
  await fetchTree(job, repository, target, destination, true);
  const names = namesOf(target, { ...destination, name });
  if (names.length === 0) throw unnamed();
  storeNames(job, names);
}

/** Fetches a manifest or an index with what `destination` takes of it; without its layers unless it is taken `whole`. */
async function fetchTree(
  job: TransferJob,
  repository: Repository,
  target: Descriptor,
  destination: transferTypes.ImageStore,
  whole: boolean,
): Promise<void> {
  const { parts, scope, progress } = job;
  const { namespace } = scope;
  const known = parts.content.hold(scope, target.digest);
  const bytes = known ? parts.content.readAll(namespace, target.digest) : await repository.manifest(target);
  const parsed = parseManifest(manifests.textOf(bytes), target.digest);
  const taken = isIndex(parsed) ? takenOf(parsed, target, choiceOf(destination)) : [];
  // The labels are stored with the content: the children are protected at all times.
  const labels = { ...manifests.childLabels(parsed), ...sourceLabel(job, target.digest, repository) };
  await parts.content.put(scope, target.digest, bytes, labels);
  progress.step(known ? "already exists" : "complete", manifests.refOf(target), {
    desc: target,
    progress: target.size,
  });
  for (const { entry, whole: all } of taken)
    await fetchTree(job, repository, entry, destination, whole && all);
  if (isIndex(parsed)) return;
  if (whole) await fetchImage(job, repository, parsed, target.platform, destination);
  else await fetchBlob(job, repository, parsed.config);
}

/** What is taken of an index; "not_found" if no platform of the request is in it. */
function takenOf(index: Index, { digest }: Descriptor, choice: Choice): readonly Taken[] {
  const taken = take(index.manifests, choice);
  if (taken.some(({ whole }) => whole) || index.manifests.length === 0) return taken;
  const offered = index.manifests.flatMap(({ platform: p }) =>
    p?.os && p.os !== "unknown" ? [platformText(p)] : [],
  );
  throw new BerthError(
    "not_found",
    `no match for platform ${choice.platforms.map(platformText).join(", ")} in manifest ${digest}: not found`,
    { stage: "resolve", hint: `the image is there for ${[...new Set(offered)].join(", ") || "no platform"}` },
  );
}

/** The label that names where a blob is from: all repositories of the registry that have it, for pushes between them. */
function sourceLabel({ parts, scope }: TransferJob, digest: string, { reference }: Repository) {
  const key = `${CONTAINERD_LABEL.distributionSource}${reference.host}`;
  const before = parts.content.find(scope.namespace, digest)?.labels[key];
  const all = new Set([...(before ? before.split(",") : []), reference.repository]);
  return { [key]: [...all].sort().join(",") };
}

async function fetchImage(
  job: TransferJob,
  repository: Repository,
  manifest: Manifest,
  platform: Platform | undefined,
  destination: transferTypes.ImageStore,
): Promise<void> {
  const { parts } = job;
  await fetchBlob(job, repository, manifest.config);
  const unpacks = unpacksOf(job, manifest, platform, destination);
  const unpackers = unpacks.map(({ unpacker }) => unpacker);
  try {
    await eachLimited(manifest.layers, parts.downloads, (layer, index) =>
      fetchBlob(job, repository, layer, (file) => unpackers.map((unpacker) => unpacker.growing(index, file))),
    );
    for (const unpack of unpacks) await unpackInto(job, manifest, unpack);
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
    labels: sourceLabel(job, blob.digest, repository),
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
  const source = Object.entries(sourceLabel(job, blob.digest, repository));
  const { labels } = parts.content.info(scope.namespace, blob.digest);
  if (source.some(([key, value]) => labels[key] !== value))
    parts.content.updateLabels(scope.namespace, blob.digest, (now) => ({
      ...now,
      ...Object.fromEntries(source),
    }));
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

/** Stored manifests and indexes: their references, by platform, and the labels that protect these. */
import { CONTAINERD_LABEL } from "@berth/api";
import {
  chooseManifest,
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndex,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
  parseConfig,
  parseManifest,
} from "@berth/oci";
import type { Labels } from "../../base/core/names.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";

/** The entries of an index that match one of the platforms; all of them without platforms. */
export function chooseEntries(index: Index, platforms: readonly Platform[]): Descriptor[] {
  if (platforms.length === 0) return index.manifests;
  const chosen = platforms.flatMap((platform) => chooseManifest(index.manifests, platform) ?? []);
  return [...new Set(chosen)];
}

/** Reads a manifest or an index from the store. */
export function readManifest(content: ContentStore, ns: string, digest: string): Manifest | Index {
  return parseManifest(textOf(content.readAll(ns, digest)), digest);
}

/** Reads an image's config from the store. */
export function readConfig(content: ContentStore, ns: string, digest: string): ImageConfig {
  return parseConfig(textOf(content.readAll(ns, digest)), digest);
}

/** The text of a document. */
export const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");

/** The labels by which a manifest references its children. */
export function childLabels(parsed: Manifest | Index, wanted?: readonly Descriptor[]): Labels {
  const labels: Labels = {};
  if (!isIndex(parsed)) {
    labels[`${CONTAINERD_LABEL.gcRefContent}.config`] = parsed.config.digest;
    for (const [i, layer] of parsed.layers.entries())
      labels[`${CONTAINERD_LABEL.gcRefContent}.l.${i}`] = layer.digest;
  } else
    for (const [i, entry] of parsed.manifests.entries())
      if (wanted === undefined || wanted.includes(entry))
        labels[`${CONTAINERD_LABEL.gcRefContent}.m.${i}`] = entry.digest;
  return labels;
}

/** The ref of an ingest, as containerd's clients name them; also the name in progress messages. */
export function refOf({ mediaType, digest }: Descriptor): string {
  if (isIndexType(mediaType)) return `index-${digest}`;
  if (isManifestType(mediaType)) return `manifest-${digest}`;
  if (/\.image\.(config|v1)|container\.image/.test(mediaType) && /json$/.test(mediaType))
    return `config-${digest}`;
  return /layer|diff\.tar/.test(mediaType) ? `layer-${digest}` : `unknown-${digest}`;
}

/** The stored manifests of an image that match one of the platforms (all stored ones without platforms). */
export function manifestsOf(
  content: ContentStore,
  ns: string,
  target: Descriptor,
  platforms: readonly Platform[],
): { descriptor: Descriptor; manifest: Manifest }[] {
  const parsed = readManifest(content, ns, target.digest);
  if (!isIndex(parsed)) return [{ descriptor: target, manifest: parsed }];
  const out: { descriptor: Descriptor; manifest: Manifest }[] = [];
  for (const entry of chooseEntries(parsed, platforms)) {
    if (content.find(ns, entry.digest) === undefined) continue;
    const { platform: _, ...descriptor } = entry;
    out.push(...manifestsOf(content, ns, descriptor, platforms));
  }
  return out;
}

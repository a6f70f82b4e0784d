/** Stored manifests and indexes: their references, by platform, and the labels that protect these. */
import { CONTAINERD_LABEL } from "@berth/api";
import {
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
import { take } from "./choice.ts";

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

/** What a descriptor describes, by its media type. */
function kindOf(mediaType: string): "index" | "manifest" | "config" | "layer" | "unknown" {
  if (isIndexType(mediaType)) return "index";
  if (isManifestType(mediaType)) return "manifest";
  if (/\.image\.(config|v1)|container\.image/.test(mediaType) && /json$/.test(mediaType)) return "config";
  return /layer|diff\.tar/.test(mediaType) ? "layer" : "unknown";
}

const LABEL_KEYS = { index: ".m.", manifest: ".m.", config: ".config", layer: ".l.", unknown: "." };

/** All that a manifest or an index refers to, the config first. */
export function childrenOf(parsed: Manifest | Index): readonly Descriptor[] {
  return isIndex(parsed) ? parsed.manifests : [parsed.config, ...parsed.layers];
}

/** The labels by which a manifest or an index references its children, also those that are not there. */
export function childLabels(parsed: Manifest | Index): Labels {
  const labels: Labels = {};
  const counts = new Map<string, number>();
  for (const { mediaType, digest } of childrenOf(parsed)) {
    const key = `${CONTAINERD_LABEL.gcRefContent}${LABEL_KEYS[kindOf(mediaType)]}`;
    const count = counts.get(key) ?? 0;
    counts.set(key, count + 1);
    labels[count > 0 || key.endsWith(".") ? `${key}${count}` : key] = digest;
  }
  return labels;
}

/** The ref of an ingest, as containerd's clients name them; also the name in progress messages. */
export function refOf({ mediaType, digest }: Descriptor): string {
  return `${kindOf(mediaType)}-${digest}`;
}

/** Whether all layers can be unpacked: an artifact's cannot. */
export function isUnpackable({ layers }: Manifest): boolean {
  return layers.every(({ mediaType }) => kindOf(mediaType) === "layer");
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
  return take(parsed.manifests, { platforms, allMetadata: false, limit: 0 }).flatMap(({ entry }) => {
    if (content.find(ns, entry.digest) === undefined) return [];
    const { platform: _, ...descriptor } = entry;
    return manifestsOf(content, ns, descriptor, platforms);
  });
}

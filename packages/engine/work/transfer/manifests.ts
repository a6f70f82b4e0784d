/** Manifests and indexes: what they refer to, for which platform, and the labels that keep it all alive. */
import { BerthError } from "@berth/base";
import { checkDigest, type Labels } from "../../base/core/names.ts";
import { type PlatformWish, platformMatches } from "../../base/core/platform.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { Descriptor } from "../../objects/images/rows.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../registry/client.ts";

/** A descriptor in an index. */
export interface IndexEntry extends Descriptor {
  platform?: { os?: string; architecture?: string; variant?: string };
}

/** An image for one platform. */
export interface Manifest {
  kind: "manifest";
  config: Descriptor;
  layers: Descriptor[];
}

/** A choice of images. */
export interface Index {
  kind: "index";
  manifests: IndexEntry[];
}

/** An image config, as far as unpacking needs it. */
export interface ImageConfig {
  architecture?: string;
  os?: string;
  variant?: string;
  rootfs: { diff_ids: string[] };
}

/** Tells whether a media type is one of indexes. */
export function isIndex(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

/** Tells whether a media type is one of manifests. */
export function isManifest(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

function parseJson(bytes: Uint8Array, what: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new BerthError("invalid_argument", `${what} is not JSON: ${(cause as Error).message}`, {
      stage: "image",
      cause,
    });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new BerthError("invalid_argument", `${what} is no JSON object`, { stage: "image" });
  return parsed as Record<string, unknown>;
}

/** Checks a descriptor that came from outside. */
export function checkDescriptor(value: unknown, where: string): Descriptor {
  const refuse = (field: string, found: unknown, expected: string) =>
    new BerthError(
      "invalid_argument",
      `${where}.${field} is ${JSON.stringify(found)}, expected ${expected}`,
      { stage: "image" },
    );
  if (typeof value !== "object" || value === null)
    throw new BerthError("invalid_argument", `${where} is ${JSON.stringify(value)}, expected a descriptor`, {
      stage: "image",
    });
  const { mediaType, digest, size, annotations } = value as Record<string, unknown>;
  if (typeof mediaType !== "string" || mediaType === "") throw refuse("mediaType", mediaType, "a media type");
  if (typeof digest !== "string") throw refuse("digest", digest, "a digest");
  checkDigest(digest);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw refuse("size", size, "a number of bytes");
  const out: Descriptor = { mediaType, digest, size: size as number };
  if (typeof annotations === "object" && annotations !== null)
    out.annotations = Object.fromEntries(
      Object.entries(annotations).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  return out;
}

/** Parses a manifest or an index; "unimplemented" for Docker's schema 1. */
export function parseManifest(bytes: Uint8Array, digest: string): Manifest | Index {
  const what = `manifest ${digest}`;
  const json = parseJson(bytes, what);
  if (json.schemaVersion === 1)
    throw new BerthError("unimplemented", `${what} is Docker's schema 1, which is not supported`, {
      stage: "image",
      hint: "push the image again with a current tool",
    });
  if (Array.isArray(json.manifests))
    return {
      kind: "index",
      manifests: json.manifests.map((entry: unknown, i) => {
        const descriptor: IndexEntry = checkDescriptor(entry, `${what}: manifests[${i}]`);
        const { platform } = entry as { platform?: IndexEntry["platform"] };
        if (platform !== undefined) descriptor.platform = platform;
        return descriptor;
      }),
    };
  if (!Array.isArray(json.layers))
    throw new BerthError("invalid_argument", `${what} has neither layers nor manifests`, {
      stage: "image",
      hint: "it is damaged, or no image: push it again",
    });
  return {
    kind: "manifest",
    config: checkDescriptor(json.config, `${what}: config`),
    layers: json.layers.map((layer: unknown, i) => checkDescriptor(layer, `${what}: layers[${i}]`)),
  };
}

/** Parses an image config. */
export function parseConfig(bytes: Uint8Array, digest: string): ImageConfig {
  const json = parseJson(bytes, `image config ${digest}`);
  const { diff_ids: ids } = (json.rootfs ?? {}) as { diff_ids?: unknown };
  if (!Array.isArray(ids) || ids.some((id) => typeof id !== "string"))
    throw new BerthError("invalid_argument", `image config ${digest} has no rootfs.diff_ids`, {
      stage: "image",
    });
  for (const id of ids) checkDigest(id as string);
  return json as unknown as ImageConfig;
}

/** The entries of an index that run on one of the platforms, best first; all of them without platforms. */
export function chooseEntries(index: Index, platforms: readonly PlatformWish[]): IndexEntry[] {
  if (platforms.length === 0) return index.manifests;
  const chosen: IndexEntry[] = [];
  for (const wanted of platforms) {
    // The first entry that fits is the one that is meant: indexes list the best first.
    const fit = index.manifests.find(
      (entry) => entry.platform?.os !== "unknown" && platformMatches(wanted, entry.platform),
    );
    if (fit !== undefined && !chosen.includes(fit)) chosen.push(fit);
  }
  return chosen;
}

/** The labels by which a manifest keeps what it refers to. */
export function childLabels(parsed: Manifest | Index, wanted?: readonly IndexEntry[]): Labels {
  const labels: Labels = {};
  if (parsed.kind === "manifest") {
    labels["containerd.io/gc.ref.content.config"] = parsed.config.digest;
    for (const [i, layer] of parsed.layers.entries())
      labels[`containerd.io/gc.ref.content.l.${i}`] = layer.digest;
  } else
    for (const [i, entry] of parsed.manifests.entries())
      if (wanted === undefined || wanted.includes(entry))
        labels[`containerd.io/gc.ref.content.m.${i}`] = entry.digest;
  return labels;
}

/** The reference of a write, as containerd's clients name them; also the name under which progress is told. */
export function refOf({ mediaType, digest }: Descriptor): string {
  if (isIndex(mediaType)) return `index-${digest}`;
  if (isManifest(mediaType)) return `manifest-${digest}`;
  if (/\.image\.(config|v1)|container\.image/.test(mediaType) && /json$/.test(mediaType))
    return `config-${digest}`;
  return /layer|diff\.tar/.test(mediaType) ? `layer-${digest}` : `unknown-${digest}`;
}

/** The manifests of an image in the store that run on one of the platforms (all that are there without platforms). */
export function manifestsOf(
  content: ContentStore,
  ns: string,
  target: Descriptor,
  platforms: readonly PlatformWish[],
): { descriptor: Descriptor; manifest: Manifest }[] {
  const bytes = content.readAll(ns, target.digest);
  const parsed = parseManifest(bytes, target.digest);
  if (parsed.kind === "manifest") return [{ descriptor: target, manifest: parsed }];
  const out: { descriptor: Descriptor; manifest: Manifest }[] = [];
  for (const entry of chooseEntries(parsed, platforms)) {
    if (content.find(ns, entry.digest) === undefined) continue;
    const { platform: _, ...descriptor } = entry;
    out.push(...manifestsOf(content, ns, descriptor, platforms));
  }
  return out;
}

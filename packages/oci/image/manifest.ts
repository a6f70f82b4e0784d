/** The image specification's index and manifest, and parsing untrusted ones. */
import { BerthError } from "@berth/base";
import type { ImageConfig } from "./config.ts";
import type { Descriptor, Platform } from "./descriptor.ts";
import { checkDigest } from "./digest.ts";

/** One image for one platform. */
export interface Manifest {
  schemaVersion: 2;
  mediaType?: string;
  artifactType?: string;
  config: Descriptor;
  /** Lowest first. */
  layers: Descriptor[];
  subject?: Descriptor;
  annotations?: Record<string, string>;
}

/** Manifests of one image for several platforms, or the list in an OCI layout. */
export interface Index {
  schemaVersion: 2;
  mediaType?: string;
  artifactType?: string;
  manifests: Descriptor[];
  subject?: Descriptor;
  annotations?: Record<string, string>;
}

/** Whether a document is an index rather than a manifest. */
export function isIndex(document: Manifest | Index): document is Index {
  return "manifests" in document;
}

function parseObject(text: string, what: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
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

/** Checks a descriptor; `where` names it in the error. Its platform is kept, unknown fields are dropped. */
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
  const { mediaType, digest, size, annotations, platform } = value as Record<string, unknown>;
  if (typeof mediaType !== "string" || mediaType === "") throw refuse("mediaType", mediaType, "a media type");
  if (typeof digest !== "string") throw refuse("digest", digest, "a digest");
  checkDigest(digest);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw refuse("size", size, "a number of bytes");
  const out: Descriptor = { mediaType, digest, size: size as number };
  if (typeof annotations === "object" && annotations !== null)
    out.annotations = Object.fromEntries(
      Object.entries(annotations).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  if (typeof platform === "object" && platform !== null) out.platform = platform as Platform;
  return out;
}

/** Parses a manifest or an index; "unimplemented" for Docker's schema 1, "invalid_argument" for anything else. */
export function parseManifest(text: string, digest: string): Manifest | Index {
  const what = `manifest ${digest}`;
  const json = parseObject(text, what);
  if (json.schemaVersion === 1)
    throw new BerthError("unimplemented", `${what} is Docker's schema 1, which is not supported`, {
      stage: "image",
      hint: "push the image again with a current tool",
    });
  if (Array.isArray(json.manifests))
    return {
      schemaVersion: 2,
      manifests: json.manifests.map((entry: unknown, i) =>
        checkDescriptor(entry, `${what}: manifests[${i}]`),
      ),
    };
  if (!Array.isArray(json.layers))
    throw new BerthError("invalid_argument", `${what} has neither layers nor manifests`, {
      stage: "image",
      hint: "it is damaged, or no image: push it again",
    });
  return {
    schemaVersion: 2,
    config: checkDescriptor(json.config, `${what}: config`),
    layers: json.layers.map((layer: unknown, i) => checkDescriptor(layer, `${what}: layers[${i}]`)),
  };
}

/** Parses an image's config; "invalid_argument" if it does not list its layers' DiffIDs. */
export function parseConfig(text: string, digest: string): ImageConfig {
  const json = parseObject(text, `image config ${digest}`);
  const { diff_ids: ids } = (json.rootfs ?? {}) as { diff_ids?: unknown };
  if (!Array.isArray(ids) || ids.some((id) => typeof id !== "string"))
    throw new BerthError("invalid_argument", `image config ${digest} has no rootfs.diff_ids`, {
      stage: "image",
    });
  for (const id of ids) checkDigest(id as string);
  return json as unknown as ImageConfig;
}

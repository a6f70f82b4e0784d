/** The names of images that a transfer stores: containerd's rules for `name` and `extra_references`. */
import { CONTAINERD_LABEL, type transferTypes } from "@berth/api";
import { BerthError } from "@berth/base";
import type { Descriptor } from "@berth/oci";
import { now, rfc3339 } from "../../base/core/time.ts";
import type { ImageFields } from "../../objects/images/image-store.ts";
import type { TransferJob } from "./parts.ts";

/** Annotations by which the index of an archive names its images: in full, and (image-spec) often by the tag alone. */
export const FULL_NAME = "io.containerd.image.name";
export const REF_NAME = "org.opencontainers.image.ref.name";

type Destination = Pick<transferTypes.ImageStore, "name" | "labels" | "extraReferences">;
type Reference = transferTypes.ImageReference;

/** Names what a client has named: `name`, further names, and prefixes with the digest added. */
export function namesOf(target: Descriptor, destination: Destination): ImageFields[] {
  const { name, labels, extraReferences } = destination;
  const named = name === "" ? [] : [{ name, target, labels }];
  const extra = extraReferences
    .filter(({ isPrefix, addDigest, imagesOnly }) => !imagesOnly && (!isPrefix || addDigest))
    .map((reference) => (reference.addDigest ? digested(reference, target) : reference.name));
  return [...named, ...extra.map((text) => ({ name: text, target, labels: extraLabels(destination) }))];
}

/** Names an image of an archive: by its annotations, as far as the prefixes allow, and by its digest. */
export function archivedNamesOf(target: Descriptor, destination: Destination): ImageFields[] {
  const names = destination.extraReferences
    .filter(({ isPrefix }) => isPrefix)
    .flatMap((reference) => {
      const found = annotatedName(target.annotations ?? {}, reference);
      if (found === "") return reference.addDigest ? [digested(reference, target)] : [];
      const both = reference.addDigest && !reference.skipNamedDigest;
      return both ? [found, digested(reference, target)] : [found];
    });
  return names.map((name) => ({ name, target, labels: extraLabels(destination) }));
}

const digested = ({ name }: Reference, { digest }: Descriptor) => `${name}@${digest}`;

/** Further names go with the first one. */
function extraLabels({ name, labels }: Destination): ImageFields["labels"] {
  if (name === "") return labels;
  return { ...labels, [CONTAINERD_LABEL.gcBackRefImage]: name, [CONTAINERD_LABEL.gcExpire]: rfc3339(now()) };
}

function annotatedName(annotations: Readonly<Record<string, string>>, prefix: Reference): string {
  const full = annotations[FULL_NAME];
  // Only a name that stands as it is.
  if (full) return translate(full, prefix) === full ? full : "";
  const name = annotations[REF_NAME];
  return name ? translate(name, prefix) : "";
}

/** A tag alone is added to the prefix; a name has to begin with it unless it may be overwritten. */
function translate(name: string, prefix: Reference): string {
  if (prefix.name === "") return "";
  if (!/[/:@]/.test(name)) return `${prefix.name}:${name}`;
  const begins = name.startsWith(prefix.name) && /^(?:[/:@]|$)/.test(name.slice(prefix.name.length));
  return prefix.allowOverwrite || begins ? name : "";
}

/** The error for an image that nothing names. */
export function unnamed(): BerthError {
  return new BerthError("not_found", "no image name found: not found", { hint: "give a name for the image" });
}

/** Stores the names. */
export function storeNames({ parts, scope, progress }: TransferJob, fields: readonly ImageFields[]): void {
  for (const field of fields) {
    parts.images.put(scope.namespace, field);
    progress.step("saved", field.name, { desc: field.target! });
  }
}

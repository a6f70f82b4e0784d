/** Converts descriptors and mounts between the wire and the stores. */
import type { types } from "@berth/api";
import { BerthError } from "@berth/base";
import type { Descriptor } from "@berth/oci";
import type { MessageInitShape } from "@bufbuild/protobuf";

/** A mount as berth handles it. */
export interface Mount {
  type: string;
  source: string;
  target: string;
  options: string[];
}

export function fromDescriptor(d: types.Descriptor | undefined): Descriptor | undefined {
  if (d === undefined) return undefined;
  const base = { mediaType: d.mediaType, digest: d.digest, size: fromSize(d.size, "size") };
  return Object.keys(d.annotations).length > 0 ? { ...base, annotations: { ...d.annotations } } : base;
}

/** A size in bytes; "invalid_argument", naming `field`, if no file can have it. */
export function fromSize(bytes: bigint, field: string): number {
  if (bytes >= 0n && bytes <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(bytes);
  throw new BerthError(
    "invalid_argument",
    `${field}: found ${bytes}, expected a number of bytes from 0 to ${Number.MAX_SAFE_INTEGER}: invalid argument`,
  );
}

export function toDescriptor(d: Descriptor): MessageInitShape<typeof types.DescriptorSchema> {
  return { mediaType: d.mediaType, digest: d.digest, size: BigInt(d.size), annotations: d.annotations ?? {} };
}

export function fromMount({ type, source, target, options }: Readonly<Mount>): Mount {
  return { type, source, target, options: [...options] };
}

/** Content digests, and ChainIDs. */
import { BerthError } from "@berth/base";

/** Whether a text is a digest of a supported algorithm: sha256 or sha512. */
export function isDigest(text: string): boolean {
  return /^sha256:[a-f0-9]{64}$|^sha512:[a-f0-9]{128}$/.test(text);
}

/** Throws "invalid_argument" unless `text` is a digest. */
export function checkDigest(text: string): void {
  if (isDigest(text)) return;
  throw new BerthError(
    "invalid_argument",
    `digest ${JSON.stringify(text)} is not valid, expected sha256: and 64 hexadecimal digits: invalid argument`,
  );
}

/**
 * The ChainIDs (image-spec, config) of layers given lowest first; unpacked layers' snapshots are named by them. The
 * last one stands for the whole image. `digestOf` is the sha256 digest of a text.
 */
export function chainIds(diffIds: readonly string[], digestOf: (text: string) => string): string[] {
  let chain = "";
  return diffIds.map((diffId) => {
    chain = chain === "" ? diffId : digestOf(`${chain} ${diffId}`);
    return chain;
  });
}

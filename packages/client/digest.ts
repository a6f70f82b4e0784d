/** Digests of layers. */
import { createHash } from "node:crypto";

/**
 * The image specification's ChainID of layers given lowest first: what snapshots of unpacked layers are named
 * by. "" for no layers.
 */
export function chainId(diffIds: readonly string[]): string {
  let chain = "";
  for (const diffId of diffIds)
    chain =
      chain === "" ? diffId : `sha256:${createHash("sha256").update(`${chain} ${diffId}`).digest("hex")}`;
  return chain;
}

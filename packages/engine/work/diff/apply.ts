/** Applying layers to mounts without mounting them. */
import { BerthError, stage } from "@berth/base";
import { type Descriptor, MEDIA_TYPES } from "@berth/oci";
import type { Mount } from "../../base/core/wire.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { ApplyTarget } from "../layers/apply.ts";
import type { LayerPool } from "../layers/pool.ts";
import type { Payloads, StreamProcessors } from "../layers/processors.ts";
import { foldersOf } from "./folders.ts";

/**
 * The folder behind a snapshot's mounts: the upper folder of an overlay, or the source of a bind mount. Writing there
 * equals writing through the mount, as long as it is not mounted.
 */
export function targetOf(mounts: readonly Mount[]): ApplyTarget {
  const folders = foldersOf(mounts, "mounts");
  const refuse = (why: string) => new BerthError("invalid_argument", `${why}: invalid argument`);
  if (folders === undefined) throw refuse("no mounts to apply the layer to");
  const { upper, lowers, overlay, readonly } = folders;
  if (readonly) throw refuse("the mount is read-only");
  if (overlay === undefined) return { root: upper!, parents: [], whiteouts: "delete" };
  if (upper === undefined) throw refuse("the overlay has no upperdir, it is read-only");
  return { root: upper, parents: lowers, whiteouts: "overlay" };
}

/** What layers are applied with. */
export interface ApplyParts {
  content: ContentStore;
  pool: LayerPool;
  processors: StreamProcessors;
}

/** A layer, and where it goes. */
export interface ApplyRequest {
  diff: Descriptor;
  mounts: readonly Mount[];
  /** For stream processors. */
  payloads: Payloads;
}

/** Unpacks a layer onto mounts; returns the descriptor of the uncompressed layer. */
export function applyLayer(
  { content, pool, processors }: ApplyParts,
  ns: string,
  { diff, mounts, payloads }: ApplyRequest,
  signal?: AbortSignal,
): Promise<Descriptor> {
  return stage("apply layer", { digest: diff.digest, size: diff.size }, async () => {
    const info = content.info(ns, diff.digest);
    const target = targetOf(mounts);
    const blob = content.blobPath(diff.digest);
    const isPlain = processors.chain(diff.mediaType).length === 0;
    const processed = isPlain ? undefined : await processors.process(blob, diff, payloads, signal);
    const applying = pool.apply(processed?.path ?? blob, `layer ${diff.digest}`, target);
    applying.progress(processed?.size ?? info.size, true);
    const onAbort = () => applying.cancel("the client canceled the call");
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const { diffId, size } = await applying.done;
      return { mediaType: MEDIA_TYPES.layer, digest: diffId, size };
    } finally {
      signal?.removeEventListener("abort", onAbort);
      processed?.close();
    }
  });
}

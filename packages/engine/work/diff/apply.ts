/** Applying layers to mounts without mounting them. */
import { BerthError, stage } from "@berth/base";
import { type Descriptor, MEDIA_TYPES } from "@berth/oci";
import type { Mount } from "../../base/core/wire.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { ApplyTarget } from "../layers/apply.ts";
import type { LayerPool } from "../layers/pool.ts";
import type { Payloads, StreamProcessors } from "../layers/processors.ts";
import type { Applied } from "../layers/protocol.ts";
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
  parts: ApplyParts,
  ns: string,
  { diff, mounts, payloads }: ApplyRequest,
  signal?: AbortSignal,
): Promise<Descriptor> {
  return stage("apply layer", { digest: diff.digest, size: diff.size }, async () => {
    parts.content.info(ns, diff.digest);
    const { diffId, size } = await applyBlob(parts, diff, targetOf(mounts), payloads, signal);
    return { mediaType: MEDIA_TYPES.layer, digest: diffId, size };
  });
}

/** Applies a layer that is in the store, through the stream processors that its type asks for. */
export async function applyBlob(
  { content, pool, processors }: ApplyParts,
  layer: Descriptor,
  target: ApplyTarget,
  payloads?: Payloads,
  signal?: AbortSignal,
): Promise<Applied> {
  const processed = await processors.process(content.blobPath(layer.digest), layer, payloads, signal);
  try {
    const applying = pool.apply(processed.path, `layer ${layer.digest}`, target);
    applying.progress(processed.size, true);
    const onAbort = () => applying.cancel("the client canceled the call");
    signal?.addEventListener("abort", onAbort, { once: true });
    return await applying.done.finally(() => signal?.removeEventListener("abort", onAbort));
  } finally {
    processed.close();
  }
}

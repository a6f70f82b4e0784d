/** Applying layers to mounts without mounting them. */
import { BerthError, stage } from "@berth/base";
import { type Descriptor, MEDIA_TYPES } from "@berth/oci";
import type { Mount } from "../../base/core/wire.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import type { ApplyTarget } from "../layers/apply.ts";
import type { LayerPool } from "../layers/pool.ts";

/**
 * The folder behind a snapshot's mounts: the upper folder of an overlay, or the source of a bind mount. Writing there
 * equals writing through the mount, as long as it is not mounted.
 */
export function targetOf(mounts: readonly Mount[]): ApplyTarget {
  const [mount, ...more] = mounts;
  const refuse = (why: string) =>
    new BerthError("unimplemented", `cannot apply a layer: ${why}`, { stage: "unpack" });
  if (mount === undefined)
    throw new BerthError("invalid_argument", "no mounts to apply the layer to: invalid argument");
  if (more.length > 0) throw refuse(`${mounts.length} mounts were given, expected one`);
  if (mount.options.includes("ro"))
    throw new BerthError("invalid_argument", "the mount is read-only: invalid argument");
  if (mount.type === "bind") return { root: mount.source, parents: [], whiteouts: "delete" };
  if (mount.type !== "overlay")
    throw refuse(`mount type ${JSON.stringify(mount.type)} is not supported, expected overlay or bind`);
  const option = (name: string) =>
    mount.options.find((o) => o.startsWith(`${name}=`))?.slice(name.length + 1);
  const root = option("upperdir");
  if (root === undefined)
    throw new BerthError(
      "invalid_argument",
      "the overlay has no upperdir, it is read-only: invalid argument",
    );
  return { root, parents: option("lowerdir")?.split(":") ?? [], whiteouts: "overlay" };
}

/** Unpacks the layer `diff` onto `mounts`; returns the descriptor of the uncompressed layer. */
export function applyLayer(
  content: ContentStore,
  pool: LayerPool,
  ns: string,
  diff: Descriptor,
  mounts: readonly Mount[],
  signal?: AbortSignal,
): Promise<Descriptor> {
  return stage("apply layer", { digest: diff.digest, size: diff.size }, async () => {
    const info = content.info(ns, diff.digest);
    const applying = pool.apply(content.blobPath(diff.digest), `layer ${diff.digest}`, targetOf(mounts));
    applying.progress(info.size, true);
    const onAbort = () => applying.cancel("the client canceled the call");
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const { diffId, size } = await applying.done;
      return { mediaType: MEDIA_TYPES.layer, digest: diffId, size };
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  });
}

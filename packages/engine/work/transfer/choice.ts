/** Which parts of an index a transfer takes: containerd's rules for `platforms`, `all_metadata` and `manifest_limit`. */
import type { transferTypes } from "@berth/api";
import { chooseManifest, type Descriptor, type Platform, platformMatches } from "@berth/oci";

/** What a client asks for. */
export interface Choice {
  /** None: all. */
  platforms: readonly Platform[];
  /** Whether manifests and configs of other platforms are taken, too. */
  allMetadata: boolean;
  /** Most manifests of an index; 0: unlimited. */
  limit: number;
}

/** An entry of an index, and whether its layers are taken. */
export interface Taken {
  entry: Descriptor;
  whole: boolean;
}

/** What the destination of a transfer asks for. */
export function choiceOf({ platforms, allMetadata, manifestLimit }: transferTypes.ImageStore): Choice {
  return { platforms, allMetadata, limit: manifestLimit };
}

/**
 * What is taken of an index's entries: for each platform the best one, and those without a platform, which may be for
 * any. A limit keeps those of the first platforms.
 */
export function take(
  entries: readonly Descriptor[],
  { platforms, allMetadata, limit }: Choice,
): readonly Taken[] {
  const chosen = new Set<Descriptor>();
  for (const platform of platforms) {
    const best = chooseManifest(entries, platform);
    if (best !== undefined) chosen.add(best);
  }
  const isWhole = (entry: Descriptor) =>
    platforms.length === 0 || entry.platform === undefined || chosen.has(entry);
  const taken = entries
    .filter((entry) => allMetadata || isWhole(entry))
    .map((entry) => ({ entry, whole: isWhole(entry) }));
  if (limit === 0) return taken;
  const rank = ({ entry: { platform } }: Taken) => {
    const found = platforms.findIndex(
      (wanted) => platform !== undefined && platformMatches(wanted, platform),
    );
    return found === -1 ? platforms.length : found;
  };
  return taken.toSorted((one, other) => rank(one) - rank(other)).slice(0, limit);
}

/** "linux/arm64/v8", for messages. */
export function platformText({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant ? `/${variant}` : ""}`;
}

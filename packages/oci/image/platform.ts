/** Platform matching (image-spec, image index), by Go's names. */
import type { Descriptor, Platform } from "./descriptor.ts";

/** Aliases of architectures, with the variant that some of them imply. */
const ALIASES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  aarch64: ["arm64"],
  i386: ["386"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};
/** The variant implied where none is named. */
const DEFAULT_VARIANT: Readonly<Record<string, string>> = { arm64: "v8", arm: "v7", amd64: "v1" };

/** Go's names for Node's `process.arch`. */
const OF_NODE: Readonly<Record<string, Platform>> = {
  x64: { os: "linux", architecture: "amd64" },
  ia32: { os: "linux", architecture: "386" },
  arm64: { os: "linux", architecture: "arm64", variant: "v8" },
  arm: { os: "linux", architecture: "arm", variant: "v7" },
  ppc64: { os: "linux", architecture: "ppc64le" },
};

/** Linux on a machine of Node's name: "x64", "arm64". */
export function platformOfNode(arch: string): Platform {
  return OF_NODE[arch] ?? { os: "linux", architecture: arch };
}

/** A platform with aliases resolved, for comparison. */
function normal({ os, architecture, variant }: Partial<Platform>) {
  const [name, implied] = ALIASES[architecture ?? ""] ?? [architecture ?? ""];
  return { os, architecture: name, variant: variant || implied || DEFAULT_VARIANT[name] || "" };
}

/** How well an image for `offered` suits `wanted`: 0 is best, undefined means not at all. */
function distance(wanted: Platform, offered: Partial<Platform>): number | undefined {
  const want = normal(wanted);
  const have = normal(offered);
  if (want.os !== have.os || want.architecture !== have.architecture) return undefined;
  if (want.variant === have.variant) return 0;
  // An ARM processor runs what was built for older versions, down to v5.
  const [newer, older] = [want, have].map(({ variant }) => Number(/^v(\d+)$/.exec(variant)?.[1]));
  if (want.architecture === "arm" && newer! > older! && older! >= 5) return newer! - older!;
  // No variant was requested: any will do, and the index's order decides.
  return wanted.variant ? undefined : 100;
}

/** Whether an image for `offered` runs on `wanted`; an image without a platform runs everywhere. */
export function platformMatches(wanted: Platform, offered: Partial<Platform> | undefined): boolean {
  return offered === undefined || distance(wanted, offered) !== undefined;
}

/**
 * The manifest of an index that suits a platform best; the first one among equals, as indexes list the best first.
 * One without a platform is used if no other suits. Attestations (os "unknown") are never chosen.
 */
export function chooseManifest<D extends Pick<Descriptor, "platform">>(
  manifests: readonly D[],
  wanted: Platform,
): D | undefined {
  let best: D | undefined;
  let nearest = Number.POSITIVE_INFINITY;
  for (const each of manifests) {
    if (each.platform === undefined) continue;
    const far = distance(wanted, each.platform);
    if (far === undefined || far >= nearest) continue;
    best = each;
    nearest = far;
  }
  return best ?? manifests.find(({ platform }) => platform === undefined);
}

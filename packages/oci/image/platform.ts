/** Which image of several runs where (image-spec, image index): platforms in Go's words. */
import type { Descriptor, Platform } from "./descriptor.ts";

/** Other names of architectures, with the variant that some of them imply. */
const ALIASES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  aarch64: ["arm64"],
  i386: ["386"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};
/** The variant that is meant where none is named. */
const DEFAULT_VARIANT: Readonly<Record<string, string>> = { arm64: "v8", arm: "v7", amd64: "v1" };

/** Go's names of what Node calls `process.arch`. */
const OF_NODE: Readonly<Record<string, Platform>> = {
  x64: { os: "linux", architecture: "amd64" },
  ia32: { os: "linux", architecture: "386" },
  arm64: { os: "linux", architecture: "arm64", variant: "v8" },
  arm: { os: "linux", architecture: "arm", variant: "v7" },
  ppc64: { os: "linux", architecture: "ppc64le" },
};

/** Linux on a machine that Node names so: "x64", "arm64". */
export function platformOfNode(arch: string): Platform {
  return OF_NODE[arch] ?? { os: "linux", architecture: arch };
}

/** What two platforms are compared by. */
function normal({ os, architecture, variant }: Partial<Platform>) {
  const [name, implied] = ALIASES[architecture ?? ""] ?? [architecture ?? ""];
  return { os, architecture: name, variant: variant || implied || DEFAULT_VARIANT[name] || "" };
}

/** How well an image for `offered` suits `wanted`: 0 best, undefined not at all. */
function distance(wanted: Platform, offered: Partial<Platform>): number | undefined {
  const want = normal(wanted);
  const have = normal(offered);
  if (want.os !== have.os || want.architecture !== have.architecture) return undefined;
  if (want.variant === have.variant) return 0;
  // An ARM processor runs what was built for an older one, v5 being the oldest.
  const [newer, older] = [want, have].map(({ variant }) => Number(/^v(\d+)$/.exec(variant)?.[1]));
  if (want.architecture === "arm" && newer! > older! && older! >= 5) return newer! - older!;
  // Nobody named a variant: any will have to do, the best is left to the order of the index.
  return wanted.variant ? undefined : 100;
}

/** Whether an image for `offered` runs where `wanted` is asked for; an image that does not say runs everywhere. */
export function platformMatches(wanted: Platform, offered: Partial<Platform> | undefined): boolean {
  return offered === undefined || distance(wanted, offered) !== undefined;
}

/**
 * The manifest of an index that suits a platform best: of several the first, as indexes list the best first; one that
 * names no platform where no other suits. Attestations (os "unknown") are no images.
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

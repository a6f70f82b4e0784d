/** This machine in the words of images. */
import type { Platform } from "@berth/oci";

const NAMES: Record<string, Platform> = {
  x64: { os: "linux", architecture: "amd64" },
  ia32: { os: "linux", architecture: "386" },
  arm64: { os: "linux", architecture: "arm64", variant: "v8" },
  arm: { os: "linux", architecture: "arm", variant: "v7" },
  ppc64: { os: "linux", architecture: "ppc64le" },
};

/** The platform this program runs on. */
export function nodePlatform(): Platform {
  return NAMES[process.arch] ?? { os: "linux", architecture: process.arch };
}

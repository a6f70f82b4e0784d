/** Versions of berth and of the API it serves. */

export const VERSION = "0.1.0";
/** The commit it was built from; set by the build. */
export const COMMIT = process.env.BERTH_COMMIT ?? "unknown";
/** The containerd release whose API is served; clients compare it with the one they need. */
export const CONTAINERD_API = "2.1.9";

/** The Version service's answer: containerd's version, with berth's own as build metadata (semver.org). */
export const WIRE_VERSION = `v${CONTAINERD_API}+berth.${VERSION}`;

/** Splits a Version service's answer; other daemons, containerd for instance, have one version for both. */
export function versionsIn(wire: string): { api: string; daemon: string } {
  const [api, daemon = wire] = wire.split("+berth.") as [string, string?];
  return { api, daemon };
}

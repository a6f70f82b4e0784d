/** Which berth this is. */

export const VERSION = "0.1.0";
/** The commit it was built from; the build puts it in. */
export const COMMIT = process.env.BERTH_COMMIT ?? "unknown";
/** The release of containerd whose API is served: clients compare it with the one that they need. */
export const CONTAINERD_API = "2.1.9";

/** What the Version service answers: a version as containerd's, with berth's own behind it as build metadata (semver.org). */
export const WIRE_VERSION = `v${CONTAINERD_API}+berth.${VERSION}`;

/** What a Version service answered, taken apart; another daemon, containerd for instance, has one version for both. */
export function versionsIn(wire: string): { api: string; daemon: string } {
  const [api, daemon = wire] = wire.split("+berth.") as [string, string?];
  return { api, daemon };
}

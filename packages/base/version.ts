/** Which berth this is. */

export const VERSION = "0.1.0";
/** The commit it was built from; the build puts it in. */
export const COMMIT = process.env.BERTH_COMMIT ?? "unknown";
/** The release of containerd whose API is served: clients compare it with the one that they need. */
export const CONTAINERD_API = "2.1.9";

/** What the Version service answers: a version as containerd's, with berth's own behind it as build metadata (semver.org). */
export const WIRE_VERSION = `v${CONTAINERD_API}+berth.${VERSION}`;

/** berth's own version in what a Version service answered; undefined for another daemon's. */
export function versionIn(wire: string): string | undefined {
  return /\+berth\.(.+)$/.exec(wire)?.[1];
}

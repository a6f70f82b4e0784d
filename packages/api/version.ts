/** The version on the wire: clients of containerd compare it with the one they need. */
import { VERSION } from "@berth/base";

/** The containerd release whose API is served. */
export const CONTAINERD_API = "2.1.9";

/** The Version service's answer: containerd's version, with berth's own as build metadata (semver.org). */
export const WIRE_VERSION = `v${CONTAINERD_API}+berth.${VERSION}`;

/** Splits a Version service's answer; other daemons, containerd for instance, have one version for both. */
export function versionsIn(wire: string): { api: string; daemon: string } {
  const [api, daemon = wire] = wire.split("+berth.") as [string, string?];
  return { api, daemon };
}

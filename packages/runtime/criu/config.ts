/** The configuration file of CRIU's that a container is dumped and restored with. */
import type { Spec } from "@berth/oci";
import type { Sys } from "@berth/sys";

const ANNOTATION = "org.criu.config";
/** Where CRIU's documentation tells administrators of runc to put theirs. */
const USUAL = "/etc/criu/runc.conf";

/** The annotation's file (none when it is empty), else the usual one if it is there. What it says wins over flags. */
export function criuConfig(sys: Sys, spec: Spec): string | undefined {
  const wanted = spec.annotations?.[ANNOTATION];
  if (wanted !== undefined) return wanted === "" ? undefined : wanted;
  return sys.stat(USUAL) === undefined ? undefined : USUAL;
}

/** The CRIU configuration file for a container's dump and restore. */
import type { Spec } from "@berth/oci";
import type { Sys } from "@berth/sys";

const ANNOTATION = "org.criu.config";
/** The path that CRIU's documentation gives for runc. */
const DEFAULT_CONFIG = "/etc/criu/runc.conf";

/**
 * Path of the configuration file, whose settings override flags: the annotation's (empty means no file), or else the
 * default one if it exists.
 */
export function criuConfig(sys: Sys, spec: Spec): string | undefined {
  const annotated = spec.annotations?.[ANNOTATION];
  if (annotated !== undefined) return annotated === "" ? undefined : annotated;
  return sys.stat(DEFAULT_CONFIG) === undefined ? undefined : DEFAULT_CONFIG;
}

/** The Version service on the wire. */
import { version, WIRE_VERSION } from "@berth/api";
import { COMMIT } from "@berth/base";
import { type Service, service } from "@berth/rpc";

/** Serves the version of containerd whose API is implemented, with berth's own as build metadata. */
export function versionService(): Service {
  return service(version.Version, {
    version: () => ({ version: WIRE_VERSION, revision: COMMIT }),
  });
}

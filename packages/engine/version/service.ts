/** The Version service on the wire. */
import { version } from "@berth/api";
import { type Service, service } from "@berth/grpc";
import { VERSION } from "./version.ts";

/** Serves berth's version. */
export function versionService(): Service {
  return service(version.Version, {
    version: () => ({ version: VERSION.version, revision: VERSION.revision }),
  });
}

/** The description of berth's own runtime, as shims print it for `-info`. */
import { FEATURES_TYPE, packJson } from "@berth/api/any";
import { type RuntimeInfo, RuntimeInfoSchema } from "@berth/api/runtimeTypes";
import { COMMIT, present, VERSION } from "@berth/base";
import { features } from "@berth/runtime/features";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";

/** Its version, its features document, and the options of the request. */
export function ownRuntimeInfo(options: Any | undefined): RuntimeInfo {
  return create(RuntimeInfoSchema, {
    name: "containerd-shim-berth-v1",
    version: { version: VERSION, revision: COMMIT },
    ...present({ options }),
    features: packJson(FEATURES_TYPE, JSON.stringify(features())),
  });
}
